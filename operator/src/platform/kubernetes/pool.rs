//! The two kinds of pods that a cluster has, and what is named after which.

use std::ops::Range;

use crate::validated::{CONTROLLERS_MAX, FIRST_CONTROLLER, REPLICAS_MAX, ValidatedCluster};

/// Pods of one StatefulSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pool {
    /// The brokers.
    Brokers,
    /// The controllers that are no brokers.
    Controllers,
}

impl Pool {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Brokers, Self::Controllers];

    /// That of a node.
    #[must_use]
    pub fn of(node: i32) -> Self {
        match node < FIRST_CONTROLLER {
            true => Self::Brokers,
            false => Self::Controllers,
        }
    }

    /// The ids that its nodes may have; the first one is that of the pod with the ordinal 0.
    #[must_use]
    pub fn nodes(self) -> Range<i32> {
        match self {
            Self::Brokers => 0..REPLICAS_MAX,
            Self::Controllers => FIRST_CONTROLLER..FIRST_CONTROLLER + CONTROLLERS_MAX,
        }
    }

    /// The value of the label by which its pods are told apart.
    #[must_use]
    pub fn component(self) -> &'static str {
        match self {
            Self::Brokers => "broker",
            Self::Controllers => "controller",
        }
    }

    /// The name of its StatefulSet, and of its PodDisruptionBudget.
    #[must_use]
    pub fn set(self, cluster: &str) -> String {
        match self {
            Self::Brokers => cluster.to_owned(),
            Self::Controllers => format!("{cluster}-controllers"),
        }
    }

    /// The name of its headless Service.
    #[must_use]
    pub fn headless(self, cluster: &str) -> String {
        match self {
            Self::Brokers => format!("{cluster}-brokers"),
            Self::Controllers => format!("{cluster}-controllers"),
        }
    }

    /// How many pods it is to have.
    #[must_use]
    pub fn size(self, cluster: &ValidatedCluster) -> i32 {
        match self {
            Self::Brokers => cluster.replicas,
            Self::Controllers => {
                let last = cluster.controllers.ids.last();
                last.map_or(0, |last| last + 1 - FIRST_CONTROLLER)
            }
        }
    }

    /// Whether nodes of it are to run: those that the spec has, or that may not go yet.
    #[must_use]
    pub fn is_needed(self, cluster: &ValidatedCluster) -> bool {
        self == Self::Brokers || !cluster.controllers.ids.is_empty()
    }

    /// Whether the spec has it: the pods of controllers that are to go stay as they are.
    #[must_use]
    pub fn is_wanted(self, cluster: &ValidatedCluster) -> bool {
        self == Self::Brokers || cluster.controllers.wanted > 0
    }
}

/// The name of a node's pod.
#[must_use]
pub fn pod(cluster: &str, node: i32) -> String {
    let pool = Pool::of(node);
    format!("{}-{}", pool.set(cluster), node - pool.nodes().start)
}

/// The host name of a node's pod, within its namespace.
#[must_use]
pub fn host(cluster: &str, node: i32) -> String {
    let pool = Pool::of(node);
    format!("{}.{}", pod(cluster, node), pool.headless(cluster))
}

/// Which node has a pod of this name, where one has.
#[must_use]
pub fn node(cluster: &str, pod: &str) -> Option<i32> {
    let of = |pool: Pool| {
        let ordinal = pod.strip_prefix(&pool.set(cluster))?.strip_prefix('-')?;
        let node = pool.nodes().start + ordinal.parse::<u16>().ok().map(i32::from)?;
        pool.nodes().contains(&node).then_some(node)
    };
    Pool::ALL.into_iter().find_map(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_that_of_one_node() {
        for id in [0, 7, 99, 1000, 1004] {
            assert_eq!(node("a", &pod("a", id)), Some(id));
        }
        assert_eq!(host("a", 1001), "a-controllers-1.a-controllers");
        for pod in ["a", "a-100", "a-controllers-5", "a-b-0", "b-0", "a--1"] {
            assert_eq!(node("a", pod), None, "{pod}");
        }
    }
}
