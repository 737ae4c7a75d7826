use super::{ClusterReason, State, TopicReason, Verdict, conditions, state};

/// What an object is said to be that has been unready since 10:00 for this reason.
fn at(now: &str, reason: impl Into<super::Reason>) -> Option<State> {
    let verdict = Verdict::new(reason, "Why.");
    let first = conditions(&[], &verdict, 1, "2026-01-01T10:00:00Z");
    state(&conditions(&first, &verdict, 1, now))
}

#[test]
fn what_may_mend_itself_is_stalled_only_when_it_has_not() {
    use ClusterReason::{BrokerUnschedulable, ImagePullFailed, InvalidSpec};
    let reconciling = Some(State::Reconciling);
    let stalled = Some(State::Stalled);
    assert_eq!(at("2026-01-01T10:00:00Z", BrokerUnschedulable), reconciling);
    assert_eq!(at("2026-01-01T10:09:59Z", BrokerUnschedulable), reconciling);
    assert_eq!(at("2026-01-01T10:10:00Z", BrokerUnschedulable), stalled);
    assert_eq!(at("2026-01-01T10:00:59Z", ImagePullFailed), reconciling);
    assert_eq!(at("2026-01-01T10:01:00Z", ImagePullFailed), stalled);
    assert_eq!(
        at("2026-01-01T10:09:00Z", TopicReason::ClusterNotFound),
        reconciling
    );
    assert_eq!(
        at("2026-01-01T10:11:00Z", TopicReason::ClusterNotFound),
        stalled
    );
    assert_eq!(at("2026-01-01T10:00:00Z", InvalidSpec), stalled);
    // A clock that was set back, or a time that nobody can read, makes nothing stalled.
    assert_eq!(at("2026-01-01T09:00:00Z", ImagePullFailed), reconciling);
    assert_eq!(at("soon", ImagePullFailed), reconciling);
}

#[test]
fn what_is_in_the_midst_of_something_long_gets_the_whole_time_as_well() {
    let drain = Verdict::new(ClusterReason::RollingRestart, "Goes on.");
    let away = Verdict::new(ClusterReason::BrokerUnschedulable, "Why.");
    let long_ago = conditions(&[], &drain, 1, "2026-01-01T10:00:00Z");
    let first = conditions(&long_ago, &away, 1, "2026-01-01T12:00:00Z");
    assert_eq!(state(&first), Some(State::Reconciling));
    let then = conditions(&first, &away, 1, "2026-01-01T12:09:00Z");
    assert_eq!(state(&then), Some(State::Reconciling));
    let last = conditions(&then, &away, 1, "2026-01-01T12:10:00Z");
    assert_eq!(state(&last), Some(State::Stalled));
    let still = conditions(&last, &away, 1, "2026-01-01T12:11:00Z");
    assert_eq!(state(&still), Some(State::Stalled));
}

#[test]
fn an_object_that_was_ready_gets_the_whole_time() {
    let ready = Verdict::new(ClusterReason::BrokersReady, "All.");
    let away = Verdict::new(ClusterReason::BrokerUnschedulable, "Why.");
    let before = conditions(&[], &ready, 1, "2026-01-01T10:00:00Z");
    let after = conditions(&before, &away, 1, "2026-01-02T10:00:00Z");
    assert_eq!(state(&after), Some(State::Reconciling));
    let later = conditions(&after, &away, 1, "2026-01-02T10:10:00Z");
    assert_eq!(state(&later), Some(State::Stalled));
}
