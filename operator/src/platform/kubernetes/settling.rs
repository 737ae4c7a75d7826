//! Pods that have just become ready again. Pure.
//!
//! Nodes learn of it one after the other, and lead connections anew: kube-proxy at most once a
//! second, a network policy's agent when it comes to it. What connects meanwhile may get no answer,
//! and TCP tries again a second later: so clients would pause as soon as such a broker is handed
//! leaderships by the next one that goes. It counts as one that serves a few seconds later, as a
//! pod counts as available after `minReadySeconds`; but by the operator's own clock, and not while
//! a cluster comes up, when nobody is connected yet.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use tokio::time::Instant;

use crate::platform::BrokerState;

/// How long a pod is ready before its broker counts as one that serves.
const SETTLES: Duration = Duration::from_secs(3);

/// What was seen of the pods of a cluster.
#[derive(Debug, Default)]
pub(super) struct Settling {
    /// Whether all of them were ready at one time.
    was_up: bool,
    /// The uid of each that is ready, and since when.
    ready: BTreeMap<i32, (String, Instant)>,
}

impl Settling {
    /// Says of those that have just become ready that they are not, yet.
    pub(super) fn hold(
        &mut self,
        pods: &BTreeMap<i32, Pod>,
        states: &mut BTreeMap<i32, BrokerState>,
        now: Instant,
    ) {
        self.ready
            .retain(|id, _| states.get(id).is_some_and(|state| state.ready));
        let all_are_ready = !states.is_empty() && states.values().all(|state| state.ready);
        for (id, state) in states.iter_mut().filter(|(_, state)| state.ready) {
            let uid = pods.get(id).and_then(ResourceExt::uid).unwrap_or_default();
            let known = self.ready.entry(*id).or_insert_with(|| (uid.clone(), now));
            if known.0 != uid {
                *known = (uid, now);
            }
            if self.was_up && now < known.1 + SETTLES {
                state.ready = false;
                state.message = format!(
                    "serves again; it counts {} s later, when connections lead to it from \
                     everywhere",
                    SETTLES.as_secs()
                );
            }
        }
        if !self.was_up && all_are_ready {
            self.was_up = true;
            // whoever was there when it came up, or when the operator did, has settled
            let settled = now.checked_sub(SETTLES).unwrap_or(now);
            self.ready
                .values_mut()
                .for_each(|(_, since)| *since = settled);
        }
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

    /// Who counts as one that serves, of pods that are ready or not, so long after the beginning.
    fn serve(
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
        settling.hold(&pods(&uids), &mut states, now);
        states.values().map(|state| state.ready).collect()
    }

    #[test]
    fn whoever_comes_back_counts_some_seconds_later() {
        let (mut settling, begin) = (Settling::default(), Instant::now());
        let mut at = |millis, seen: &[(&str, bool)]| serve(&mut settling, begin, millis, seen);
        // a cluster that comes up waits for nothing
        assert_eq!(at(0, &[("a", true), ("b", false)]), [true, false]);
        assert_eq!(at(500, &[("a", true), ("b", true)]), [true, true]);
        assert_eq!(at(600, &[("a", true), ("b", true)]), [true, true]);
        // the same pod, and another in its place
        assert_eq!(at(1000, &[("a", true), ("b", false)]), [true, false]);
        assert_eq!(at(2000, &[("a", true), ("b", true)]), [true, false]);
        assert_eq!(at(4999, &[("a", true), ("b", true)]), [true, false]);
        assert_eq!(at(5000, &[("a", true), ("b", true)]), [true, true]);
        assert_eq!(at(6000, &[("c", true), ("b", true)]), [false, true]);
        assert_eq!(at(9000, &[("c", true), ("b", true)]), [true, true]);
        // one that is added
        let three = [("c", true), ("b", true), ("d", true)];
        assert_eq!(at(10_000, &three), [true, true, false]);
        assert_eq!(at(13_000, &three), [true, true, true]);
    }
}
