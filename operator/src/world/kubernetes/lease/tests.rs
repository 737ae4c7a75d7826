use std::future::{pending, ready};

use super::*;

/// How long a lease is kept whose renewals end like this.
async fn kept(renew: impl Fn(u32) -> std::pin::Pin<Box<dyn Future<Output = Renewal>>>) -> f64 {
    let begun = Instant::now();
    let count = std::cell::Cell::new(0);
    let renew = || {
        count.set(count.get() + 1);
        renew(count.get())
    };
    let kept = timeout(Duration::from_secs(3600), keep(begun, renew)).await;
    kept.expect("it is given up");
    begun.elapsed().as_secs_f64()
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_given_up_before_another_may_take_it() {
    let hangs = kept(|_| Box::pin(pending())).await;
    assert!((9.9..10.1).contains(&hangs), "{hangs}");
    let fails = kept(|_| Box::pin(ready(Renewal::Unanswered))).await;
    assert!((9.9..10.1).contains(&fails), "{fails}");
    assert!(RENEW_DEADLINE < DURATION);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_counts_from_the_sending() {
    // The first renewal is sent after 3 s and answered after 5 s; no other is.
    let late = kept(|count| {
        Box::pin(async move {
            if count > 1 {
                return pending().await;
            }
            sleep(Duration::from_secs(2)).await;
            Renewal::Held
        })
    });
    let late = late.await;
    assert!((12.9..13.1).contains(&late), "{late}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_of_somebody_else_is_given_up_at_once() {
    let lost = kept(|count| {
        Box::pin(ready(if count < 4 {
            Renewal::Held
        } else {
            Renewal::Lost
        }))
    });
    let lost = lost.await;
    assert!((11.9..12.1).contains(&lost), "{lost}");
}
