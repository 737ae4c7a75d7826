//! Pods that have just become ready again. Pure.
//!
//! Nodes learn of it one after the other, and lead connections anew: kube-proxy at most once a
//! second, a network policy's agent when it comes to it. What connects meanwhile may get no answer,
//! and TCP tries again a second later: so clients would pause as soon as such a broker is handed
//! leaderships by the next one that goes. So that one waits a few seconds more, as Kubernetes waits
//! for `minReadySeconds`, but by the operator's own clock. The broker itself serves meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use tokio::time::Instant;

use crate::platform::BrokerState;

/// How long a pod is ready before connections are taken to lead to it.
const SETTLES: Duration = Duration::from_secs(3);

/// What was seen of the pods of a cluster.
#[derive(Debug, Default)]
pub(super) struct Settling {
    /// The uid of each that is ready, and since when, where that was seen. Nothing before the first
    /// look.
    ready: Option<BTreeMap<i32, (String, Option<Instant>)>>,
}

impl Settling {
    /// Notes who has become ready, and says who has just done so.
    pub(super) fn tell(
        &mut self,
        pods: &BTreeMap<i32, Pod>,
        states: &mut BTreeMap<i32, BrokerState>,
        now: Instant,
    ) {
        // whoever was ready when the operator came may have been so for long
        let since = self.ready.is_some().then_some(now);
        let before = self.ready.take().unwrap_or_default();
        let mut ready = BTreeMap::new();
        for (id, state) in states.iter_mut().filter(|(_, state)| state.ready) {
            let uid = pods.get(id).and_then(ResourceExt::uid).unwrap_or_default();
            let known = before.get(id).filter(|(known, _)| *known == uid);
            let since = known.map_or(since, |(_, since)| *since);
            state.settles = since.is_some_and(|since| now < since + SETTLES);
            ready.insert(*id, (uid, since));
        }
        self.ready = Some(ready);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(uids: &[&str]) -> BTreeMap<i32, Pod> {
        let pod = |uid: &&str| {
            let mut pod = Pod::default();
            pod.metadata.uid = Some((*uid).to_owned());
            pod
        };
        (0..).zip(uids.iter().map(pod)).collect()
    }

    /// Who settles, of pods that are ready or not, so long after the beginning.
    fn settle(
        settling: &mut Settling,
        begin: Instant,
        millis: u64,
        seen: &[(&str, bool)],
    ) -> Vec<bool> {
        let uids: Vec<&str> = seen.iter().map(|(uid, _)| *uid).collect();
        let state = |(_, ready): &(&str, bool)| BrokerState {
            ready: *ready,
            ..BrokerState::default()
        };
        let mut states = (0..).zip(seen.iter().map(state)).collect();
        let now = begin + Duration::from_millis(millis);
        settling.tell(&pods(&uids), &mut states, now);
        states.values().map(|state| state.settles).collect()
    }

    #[test]
    fn whoever_comes_back_settles_for_some_seconds() {
        let (mut settling, begin) = (Settling::default(), Instant::now());
        let mut at = |millis, seen: &[(&str, bool)]| settle(&mut settling, begin, millis, seen);
        // one that is away when the operator comes, and one that was there
        assert_eq!(at(0, &[("a", true), ("b", false)]), [false, false]);
        assert_eq!(at(1000, &[("a", true), ("b", true)]), [false, true]);
        assert_eq!(at(3999, &[("a", true), ("b", true)]), [false, true]);
        assert_eq!(at(4000, &[("a", true), ("b", true)]), [false, false]);
        // the same pod again, and another in its place
        assert_eq!(at(5000, &[("a", true), ("b", false)]), [false, false]);
        assert_eq!(at(6000, &[("a", true), ("b", true)]), [false, true]);
        assert_eq!(at(9000, &[("c", true), ("b", true)]), [true, false]);
        assert_eq!(at(12_000, &[("c", true), ("b", true)]), [false, false]);
        // one that is added
        let three = [("c", true), ("b", true), ("d", true)];
        assert_eq!(at(13_000, &three), [false, false, true]);
        assert_eq!(at(16_000, &three), [false, false, false]);
    }
}
