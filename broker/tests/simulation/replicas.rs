//! What must hold of replicas between any two steps, whatever is told to clients.
//!
//! - `Unreadable`: what is below a replica's high watermark can be read.
//! - `UndurableFetch`: no follower has told its leader of more than is on its disk.
//! - `HighWatermarkBeyondIsr`: each in-sync replica holds what lies below the high watermark, and
//!   has it on disk (`AckBeforeDurable`). Both of the newest leader: an older one may count on
//!   what the newer has cut off, and nobody hears of it.
//! - `Hole`: each replica's log goes on where its last batch ends.
//! - `ProducerAhead`: no producer is remembered by a batch that the log does not have.
//! - `IsrFlap`: nobody leaves an ISR while nothing is amiss with any machine or link.

use ottla_broker::replica::{Inspected, Replicas};
use ottla_protocol::ids::{NodeId, Offset};
use ottla_protocol::record_batch;

use crate::node::LAG_MAX;
use crate::world::{BUSY, Slot, World};

impl World {
    /// Notes what a replica holds, or that there is none to be seen.
    pub fn note(&mut self, node: usize, slot: Slot, seen: Option<Inspected>) {
        let has_retention = self.has_retention && slot.topic().name == BUSY;
        let machine = &mut self.machines[node];
        let before = machine.seen[slot.index()].take();
        let partition = self.checks.of(slot);
        if before.is_some_and(|before| before.is_leader) {
            partition.led[node] = (machine.seen_life, self.looked_ms);
        }
        let Some(seen) = seen else {
            return;
        };
        if has_retention && seen.is_leader {
            partition.deleted_end = partition.deleted_end.max(seen.marks.log_start_offset.0);
        }
        let durable = seen.durable_end_offset.0;
        partition.is_held[node] = true;
        let had = partition.durable[node].max(partition.emptied[node]);
        partition.emptied[node] = match machine.has_rotted && durable < had {
            true => had,
            false => 0,
        };
        partition.durable[node] = durable;
        partition.most_durable[node] = partition.most_durable[node].max(durable);
        partition.ends[node] = seen.marks.log_end_offset.0;
        partition.starts[node] = seen.marks.log_start_offset.0;
        partition.newest_epoch = partition.newest_epoch.max(seen.leader_epoch.0);
        machine.seen[slot.index()] = Some(seen);
    }

    /// Whether it leads alone, and what it has below its high watermark is what others have there.
    pub fn check_replica(
        &mut self,
        node: usize,
        slot: Slot,
        replicas: &Replicas,
        seen: &Inspected,
    ) {
        let (life, now_ms) = (self.machines[node].life, self.now_ms);
        let high_watermark = seen.marks.high_watermark.0;
        let machine = &self.machines[node];
        let may_be_damaged = machine.has_rotted || machine.disk.has_failed();
        let partition = self.checks.of(slot);
        let mut wrong = None;
        let mut leads = None;
        if seen.is_leader {
            let before = partition.leaders.len();
            wrong = partition.check_leader(node, seen);
            if partition.leaders.len() > before {
                leads = Some(seen.leader_epoch);
                partition.leads_since_ms = now_ms;
            }
        }
        let (compared_life, mut from) = partition.compared[node];
        if compared_life != life {
            from = 0; // a restart may have changed what is on disk: all of it is compared again
        }
        from = from.max(seen.marks.log_start_offset.0).min(high_watermark);
        let mut is_blind = false;
        while from < high_watermark && wrong.is_none() {
            let bytes = replicas.inspect_log(seen, Offset(from), Offset(high_watermark));
            let before = from;
            for batch in record_batch::iterate(&bytes).flatten() {
                let next = batch.header.next_offset().0;
                let base = batch.header.base_offset.0;
                if base < from && next <= high_watermark {
                    from = from.max(next); // the log begins within it, or it was compared
                } else if next <= high_watermark {
                    wrong = wrong.or(partition.compare(node, &batch));
                    from = next;
                }
            }
            if from == before {
                is_blind = !is_within_batch(replicas, seen, from, partition.deleted_end);
                break;
            }
        }
        if is_blind && !may_be_damaged {
            wrong = wrong.or(Some(format!(
                "Unreadable: broker {node} has {high_watermark} committed and nothing at {from}"
            )));
        }
        partition.is_blind[node] = is_blind;
        partition.compared[node] = (life, from);
        if let Some(epoch) = leads {
            let marks = &seen.marks;
            self.trace(format_args!(
                "broker {node} leads {slot} in epoch {epoch}, {marks:?}"
            ));
        }
        if let Some(wrong) = wrong {
            self.violate(format!("{wrong} (partition {slot})"));
        }
    }

    /// Goes through what is new in a replica's log.
    pub fn check_holes(&mut self, node: usize, slot: Slot, replicas: &Replicas, seen: &Inspected) {
        let life = self.machines[node].life;
        let (epoch, end) = (seen.leader_epoch.0, seen.marks.log_end_offset.0);
        let walked = &mut self.checks.of(slot).walked[node];
        let mut from = match *walked {
            (known, ..) if known != life => seen.marks.log_start_offset.0,
            // another leader may have cut something off, and filled it again since the last look
            (_, known, from) if known != epoch => from.min(seen.marks.high_watermark.0),
            (.., from) => from,
        };
        from = from.min(end);
        let mut hole = None;
        while from < end && hole.is_none() {
            let before = from;
            let bytes = replicas.inspect_log(seen, Offset(from), Offset(end));
            for batch in record_batch::iterate(&bytes).flatten() {
                let base = batch.header.base_offset.0;
                if base > from {
                    hole.get_or_insert((from, base));
                }
                from = from.max(batch.header.next_offset().0);
            }
            if from == before {
                break; // its disk has failed
            }
        }
        *walked = (life, epoch, from);
        if let Some((from, base)) = hole {
            self.violate(format!(
                "Hole: broker {node} has nothing from {slot}@{from} to {base}"
            ));
        }
    }

    /// Whether what is remembered of producers is of what the log has.
    pub fn check_producers(&mut self, node: usize, slot: Slot, seen: &Inspected) {
        let (producers, end) = (seen.producers_end, seen.marks.log_end_offset);
        if producers > end {
            self.violate(format!(
                "ProducerAhead: broker {node} remembers a batch of {slot} that ends at \
                 {producers}, and its log ends at {end}"
            ));
        }
    }

    /// Whether the others hold what a leader counts on.
    pub fn check_claims(&mut self, node: usize, slot: Slot, seen: &Inspected) {
        let (now_ms, disturbed_ms) = (self.now_ms, self.disturbed_ms);
        let partition = self.checks.of(slot);
        if seen.leader_epoch.0 < partition.newest_epoch {
            return;
        }
        let high_watermark = seen.marks.high_watermark.0;
        let epoch = seen.leader_epoch.0;
        let place = || format!("{slot} in epoch {epoch}");
        let mut wrong = Vec::new();
        let before = std::mem::replace(&mut partition.isr, (epoch, seen.isr.clone()));
        let has_left = |member: &&NodeId| before.0 == epoch && !seen.isr.contains(member);
        if let Some(member) = before.1.iter().find(has_left)
            && now_ms > disturbed_ms + (2 * LAG_MAX).as_millis() as u64
        {
            wrong.push(format!(
                "IsrFlap: broker {node} leads {} and has {member} in sync no more, with \
                 nothing amiss since {disturbed_ms}",
                place()
            ));
        }
        // a broker that was released, or whose disk is another, has let its log go before the
        // leader hears of it
        let is_held = partition.is_held;
        let decided = self.decided.isr_in(slot, seen.leader_epoch);
        let counts = |member: &&NodeId| decided.is_none_or(|isr| isr.contains(member));
        let members = seen.isr.iter().filter(counts);
        let members = members.map(|member| member.0 as usize);
        for member in members.filter(|member| is_held[*member]) {
            let (end, durable) = (partition.ends[member], partition.durable[member]);
            if end < high_watermark {
                wrong.push(format!(
                    "HighWatermarkBeyondIsr: broker {node} leads {} and has committed \
                     {high_watermark}, {member} is in sync and ends at {end}",
                    place()
                ));
            } else if durable < high_watermark {
                wrong.push(format!(
                    "AckBeforeDurable: broker {node} leads {} and has committed \
                     {high_watermark}, {member} is in sync and has {durable} on disk",
                    place()
                ));
            }
        }
        for (follower, end) in &seen.follower_ends {
            let durable = partition.durable[follower.0 as usize];
            let is_replaced = self.machines[follower.0 as usize].is_replaced;
            // it was empty where the leader's log begins, and has begun anew with the batch that
            // goes over that place: of what it lacks the leader has nothing either
            let begins = partition.starts[follower.0 as usize];
            let is_anew = durable <= begins && end.0 <= seen.marks.log_start_offset.0;
            if durable < end.0 && is_held[follower.0 as usize] && !is_replaced && !is_anew {
                wrong.push(format!(
                    "UndurableFetch: broker {follower} told {node}, which leads {}, that \
                     it holds {end}, and has {durable} on disk",
                    place()
                ));
            }
        }
        wrong.into_iter().for_each(|wrong| self.violate(wrong));
    }
}

/// Whether the high watermark is within the batch that has `from`. It is only where all before it
/// was deleted, by offset: the leader's log begins there, and those of others at that batch.
fn is_within_batch(replicas: &Replicas, seen: &Inspected, from: i64, deleted_end: i64) -> bool {
    let high_watermark = seen.marks.high_watermark.0;
    let bytes = replicas.inspect_log(seen, Offset(from), seen.marks.log_end_offset);
    let first = record_batch::iterate(&bytes).next();
    let is_within = first.and_then(Result::ok).is_some_and(|batch| {
        let (base, next) = (batch.header.base_offset.0, batch.header.next_offset().0);
        base <= from && high_watermark < next
    });
    is_within && high_watermark <= deleted_end
}
