use std::cell::Cell;
use std::convert::Infallible;
use std::future::{pending, ready};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use kube::client::Body;
use serde_json::{Value, json};

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

/// An API server that has one Lease, or none yet.
#[derive(Clone, Default)]
struct ApiServer(Arc<Mutex<(u64, Option<Value>)>>);

impl ApiServer {
    /// A process with a client that is cut off while this is so. What it asks then may be done
    /// still, and is not answered.
    fn process(&self, identity: &str, is_cut: Arc<AtomicBool>, is_done: bool) -> Lease {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (server, is_cut) = (server.clone(), Arc::clone(&is_cut));
            async move {
                let was_cut = is_cut.load(Ordering::Relaxed);
                let method = request.method().clone();
                let body = request
                    .into_body()
                    .collect_bytes()
                    .await
                    .unwrap_or_default();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                let answer = match !was_cut || is_done {
                    true => server.answer(&method, body),
                    false => (500, Value::Null),
                };
                if was_cut {
                    return pending().await;
                }
                let response = Response::builder().status(answer.0);
                let body = Body::from(answer.1.to_string().into_bytes());
                Ok::<_, Infallible>(response.body(body).unwrap())
            }
        });
        Lease {
            api: Api::namespaced(Client::new(service, "system"), "system"),
            name: "ottla-operator".to_owned(),
            identity: identity.to_owned(),
        }
    }

    fn answer(&self, method: &Method, mut body: Value) -> (u16, Value) {
        let mut state = self.0.lock().unwrap();
        let (version, object) = &mut *state;
        let no = |code: u16| {
            let reason = if code == 404 { "NotFound" } else { "Conflict" };
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
                "reason": reason, "message": reason, "metadata": {},
            });
            (code, status)
        };
        let known = object
            .as_ref()
            .map(|one| one["metadata"]["resourceVersion"].clone());
        match (method, known) {
            (&Method::GET, None) | (&Method::PUT, None) => no(404),
            (&Method::GET, Some(_)) => (200, object.clone().unwrap()),
            (&Method::POST, Some(_)) => no(409),
            (&Method::PUT, Some(known)) if body["metadata"]["resourceVersion"] != known => no(409),
            _ => {
                *version += 1;
                body["metadata"]["resourceVersion"] = json!(version.to_string());
                *object = Some(body.clone());
                (200, body)
            }
        }
    }
}

/// Two processes, of which one is cut off from the API server at any moment and for a while: never
/// do both work, and one of them works soon again.
#[tokio::test(start_paused = true)]
async fn of_two_processes_never_both_work_whenever_one_is_cut_off() {
    for quarter in 0..16 {
        for is_done in [false, true] {
            let server = ApiServer::default();
            let at_work = Cell::new(0);
            let is_cut = Arc::new(AtomicBool::new(false));
            let uncut = Arc::new(AtomicBool::new(false));
            let process = async |identity: &str, cut: &Arc<AtomicBool>| {
                loop {
                    let lease = server.process(identity, Arc::clone(cut), is_done);
                    let since = lease.acquire().await;
                    at_work.set(at_work.get() + 1);
                    assert_eq!(at_work.get(), 1, "{quarter} {is_done}: both work");
                    lease.keep(since).await;
                    at_work.set(at_work.get() - 1);
                }
            };
            let script = async {
                sleep(Duration::from_secs(1)).await;
                assert_eq!(at_work.get(), 1);
                sleep(Duration::from_millis(20_000 + 250 * quarter)).await;
                is_cut.store(true, Ordering::Relaxed);
                sleep(DURATION * 2).await;
                assert_eq!(at_work.get(), 1, "the other one works");
                is_cut.store(false, Ordering::Relaxed);
                sleep(DURATION * 2).await;
                assert_eq!(at_work.get(), 1);
            };
            let other = async {
                sleep(Duration::from_millis(500)).await;
                process("second", &uncut).await;
            };
            tokio::select! {
                () = process("first", &is_cut) => {}
                () = other => {}
                () = script => {}
            }
        }
    }
}
