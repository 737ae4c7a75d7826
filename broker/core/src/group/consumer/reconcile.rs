//! What a member is told next: on its way from what it has to its target.

use std::collections::BTreeMap;

use ottla_protocol::ids::TopicId;

use super::state::{Consumer, Current, Given, MemberId, MemberState, Partitions};

/// What a member has from its next answer on. `owned`: what it says that it has; none where that is
/// as it was told.
pub fn reconcile(
    group: &Consumer,
    member_id: &MemberId,
    current: &Current,
    owned: Option<&Partitions>,
) -> Current {
    let none = Partitions::new();
    let target = group.target.get(member_id).map_or(&none, |target| target);
    let epoch = group.assignment_epoch();
    match current.state {
        MemberState::UnrevokedPartitions if owns_any(owned, &current.revoking) => current.clone(),
        MemberState::Stable if current.member_epoch == epoch => current.clone(),
        _ => next(group, member_id, current, (target, epoch), owned),
    }
}

fn next(
    group: &Consumer,
    member_id: &MemberId,
    current: &Current,
    (target, epoch): (&Partitions, i32),
    owned: Option<&Partitions>,
) -> Current {
    let in_target = |topic: &TopicId, partition: &i32| {
        let partitions = target.get(topic);
        partitions.is_some_and(|partitions| partitions.contains(partition))
    };
    let mut assigned = filter(&current.assigned, in_target);
    let revoking = filter(&current.assigned, |topic, partition| {
        !in_target(topic, partition)
    });
    if !revoking.is_empty() && owns_any(owned, &revoking) {
        return Current {
            state: MemberState::UnrevokedPartitions,
            assigned,
            revoking,
            ..*current
        };
    }
    let mut state = MemberState::Stable;
    for (topic, partitions) in target {
        for partition in partitions {
            if has(&assigned, *topic, *partition) {
                continue;
            }
            match group.is_free_for(*topic, *partition, member_id) {
                true => {
                    let given = assigned.entry(*topic).or_default();
                    given.insert(*partition, epoch);
                }
                false => state = MemberState::UnreleasedPartitions,
            }
        }
    }
    let previous_epoch = match current.member_epoch == epoch {
        true => current.previous_epoch,
        false => current.member_epoch,
    };
    Current {
        member_epoch: epoch,
        previous_epoch,
        state,
        assigned,
        revoking: Given::new(),
    }
}

fn has(given: &Given, topic: TopicId, partition: i32) -> bool {
    let topic = given.get(&topic);
    topic.is_some_and(|partitions| partitions.contains_key(&partition))
}

fn filter(given: &Given, stays: impl Fn(&TopicId, &i32) -> bool) -> Given {
    let topics = given.iter().map(|(topic, partitions)| {
        let partitions = partitions.iter();
        let kept = partitions.filter(|(partition, _)| stays(topic, partition));
        let kept: BTreeMap<i32, i32> = kept.map(|(p, epoch)| (*p, *epoch)).collect();
        (*topic, kept)
    });
    topics
        .filter(|(_, partitions)| !partitions.is_empty())
        .collect()
}

/// Whether the member has any of these still, by what it says.
fn owns_any(owned: Option<&Partitions>, of: &Given) -> bool {
    let Some(owned) = owned else {
        return true;
    };
    owned.iter().any(|(topic, partitions)| {
        let mut partitions = partitions.iter();
        partitions.any(|partition| has(of, *topic, *partition))
    })
}

/// Whether all that the member says it has was given to it.
pub fn was_given(owned: &Partitions, current: &Current) -> bool {
    let mut owned = owned.iter();
    owned.all(|(topic, partitions)| {
        let mut partitions = partitions.iter();
        partitions.all(|partition| has(&current.assigned, *topic, *partition))
    })
}
