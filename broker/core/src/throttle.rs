//! How fast copies come in that nobody waits for: bytes a second, over all partitions together.
//!
//! Whoever copies does so first and pays afterwards: what came is a debt that goes down with time,
//! and nobody begins while there is one. So one copy may be of any size, and the rate holds over
//! any longer time, also where it changes meanwhile.
//!
//! Invariant: a rate that nobody set holds up nobody.

use std::time::Duration;

use ottla_protocol::ids::{NodeId, PartitionIndex};

use crate::image::PartitionRegistration;

/// What was copied and not paid for yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttle {
    debt_bytes: u64,
    paid_at: Duration,
}

impl Throttle {
    /// So much was copied.
    pub fn spend(&mut self, now: Duration, bytes_per_second_max: u64, bytes: u64) {
        self.pay(now, bytes_per_second_max);
        self.debt_bytes = self.debt_bytes.saturating_add(bytes);
    }

    /// How long to wait before more is copied; none where it may be now.
    pub fn wait(&mut self, now: Duration, bytes_per_second_max: u64) -> Option<Duration> {
        self.pay(now, bytes_per_second_max);
        if self.debt_bytes == 0 {
            return None;
        }
        let debt_micros = u128::from(self.debt_bytes) * 1_000_000;
        let micros = debt_micros.div_ceil(u128::from(bytes_per_second_max.max(1)));
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        Some(Duration::from_micros(micros))
    }

    fn pay(&mut self, now: Duration, bytes_per_second_max: u64) {
        let micros = now.saturating_sub(self.paid_at).as_micros();
        let paid = micros.saturating_mul(u128::from(bytes_per_second_max)) / 1_000_000;
        // what is less than a byte is not forgotten
        if paid > 0 || self.debt_bytes == 0 {
            let paid = u64::try_from(paid).unwrap_or(u64::MAX);
            self.debt_bytes = self.debt_bytes.saturating_sub(paid);
            self.paid_at = now;
        }
    }
}

/// Whether a broker's copying of a partition is held to the rate: while a reassignment adds it, or
/// where `listed`, follower.replication.throttled.replicas of the topic, names it; and only until
/// it is in sync, since acks=all waits for whoever is.
pub fn is_throttled(
    node: NodeId,
    index: PartitionIndex,
    partition: &PartitionRegistration,
    listed: &[String],
) -> bool {
    if partition.isr.contains(&node) {
        return false;
    }
    let is_named = |item: &String| {
        let pair = item.split_once(':');
        let pair = pair.map(|(index, node)| (index.parse::<i32>(), node.parse::<i32>()));
        item == "*" || pair == Some((Ok(index.0), Ok(node.0)))
    };
    partition.adding_replicas.contains(&node) || listed.iter().any(is_named)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u64 = 1000;

    #[test]
    fn what_was_copied_is_paid_for_at_the_rate() {
        let mut throttle = Throttle::default();
        let at = Duration::from_millis;
        assert_eq!(throttle.wait(at(500), RATE), None);
        throttle.spend(at(500), RATE, 3000);
        throttle.spend(at(500), RATE, 1000);
        assert_eq!(throttle.wait(at(500), RATE), Some(at(4000)));
        assert_eq!(throttle.wait(at(1500), RATE), Some(at(3000)));
        assert_eq!(throttle.wait(at(1500), 3 * RATE), Some(at(1000)));
        assert_eq!(throttle.wait(at(4500), RATE), None);
        // time without copies is no credit
        throttle.spend(at(9000), RATE, 1000);
        assert_eq!(throttle.wait(at(9000), RATE), Some(at(1000)));
    }

    #[test]
    fn parts_of_a_byte_and_rates_at_both_ends_are_taken() {
        let mut throttle = Throttle::default();
        throttle.spend(Duration::ZERO, 1, 1);
        for ms in 1..1000 {
            assert!(throttle.wait(Duration::from_millis(ms), 1).is_some());
        }
        assert_eq!(throttle.wait(Duration::from_secs(1), 1), None);
        throttle.spend(Duration::from_secs(1), u64::MAX, u64::MAX);
        assert!(throttle.wait(Duration::from_secs(1), 0).is_some());
        assert_eq!(throttle.wait(Duration::from_secs(2), u64::MAX), None);
    }

    #[test]
    fn copies_that_acks_wait_for_are_not_held_up() {
        let nodes = |ids: &[i32]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
        let partition = PartitionRegistration {
            replicas: nodes(&[1, 2, 3, 4]),
            isr: nodes(&[1, 4]),
            adding_replicas: nodes(&[3, 4]),
            ..PartitionRegistration::default()
        };
        let held = |node: i32, listed: &[&str]| {
            let listed: Vec<String> = listed.iter().map(ToString::to_string).collect();
            is_throttled(NodeId(node), PartitionIndex(0), &partition, &listed)
        };
        assert!(held(3, &[]), "a reassignment adds it");
        assert!(!held(4, &["*"]), "it is in sync");
        assert!(!held(2, &[]) && !held(2, &["1:2", "0:3", "?"]));
        assert!(held(2, &["*"]) && held(2, &["1:1", "0:2"]));
    }
}
