//! What is told of a broker that gets an empty volume.

use super::*;

#[test]
fn a_volume_that_goes_is_told_once() {
    run(Kubernetes::new(), async |world: &Kubernetes| {
        let brokers = world.brokers();
        with_payments(world).await;
        brokers.linger_untold();
        let told = || {
            let verbs = [Verb::Create, Verb::Patch].into_iter();
            let told = verbs.map(|verb| world.api.times("events", verb).len());
            told.sum::<usize>()
        };
        let before = told();
        world.apply(&annotated("2", STORED));
        tokio::time::sleep(Duration::from_secs(10)).await;
        let told = told() - before;
        assert!((1..=3).contains(&told), "{told} events while it stops");
        brokers.linger(false);
        catch_up(world, 2).await;
    });
}

#[test]
fn what_keeps_a_broker_from_its_new_volume_is_told() {
    run(Kubernetes::new(), a_volume_that_is_gone_names_its_hindrance);
    run(Folder::new(), a_volume_that_is_gone_names_its_hindrance);
}

/// Its process runs, on a claim that is gone: it is ended only where nobody is harmed.
async fn a_volume_that_is_gone_names_its_hindrance<S: Setting>(world: &S) {
    let brokers = world.brokers();
    with_payments(world).await;
    brokers.lose_volume(2);
    world.apply(&annotated("2", STORED));
    until("it is told that none is there", || {
        says(world).contains("it has no volume yet")
    })
    .await;
    brokers.take_down(1);
    until("it is told what its process is not ended for", || {
        let says = says(world);
        says.contains("it has no volume yet") && says.contains("broker 1 does not serve")
    })
    .await;
    assert_eq!(reason(Some(&orders(world))), "ReplacingBroker");
}
