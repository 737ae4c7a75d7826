//! Whether all is as it should be in the end.

use ottla_broker::replica::Inspected;

use crate::cluster::host;
use crate::world::{Slot, World};

impl World {
    /// Whether every replica is up, in sync and holds the same, all of it committed.
    pub fn has_converged(&self) -> bool {
        self.unconverged().is_none()
    }

    /// What is not yet as it should be in the end.
    pub fn unconverged(&self) -> Option<String> {
        let machines = self.machines.iter().enumerate();
        let down = machines.clone().find(|(_, m)| m.looked.is_none());
        if let Some((node, _)) = down {
            return Some(format!("{} is down", host(node)));
        }
        Slot::all().find_map(|slot| {
            let replicas = machines.clone();
            let replicas = replicas
                .filter_map(|(node, machine)| Some((node, machine.seen[slot.index()].as_ref()?)));
            let replicas: Vec<(usize, &Inspected)> = replicas.collect();
            (!is_whole(slot, &replicas)).then(|| {
                let show = |(node, seen): &(usize, &Inspected)| {
                    let (marks, isr, epoch) = (&seen.marks, &seen.isr, seen.leader_epoch);
                    let (high, end) = (marks.high_watermark, marks.log_end_offset);
                    format!("{node}: {high}..{end} in epoch {epoch}, in sync {isr:?}")
                };
                let shown: Vec<String> = replicas.iter().map(show).collect();
                format!("{slot} is {}", shown.join("; "))
            })
        })
    }
}

fn is_whole(slot: Slot, replicas: &[(usize, &Inspected)]) -> bool {
    let factor = slot.topic().factor;
    let end = replicas.first().map(|(_, seen)| seen.marks.log_end_offset);
    let is_led = |(_, seen): &(usize, &Inspected)| seen.is_leader && seen.isr.len() == factor;
    let is_even = |(_, seen): &(usize, &Inspected)| {
        let marks = &seen.marks;
        Some(marks.log_end_offset) == end && marks.high_watermark == marks.log_end_offset
    };
    replicas.len() == factor && replicas.iter().any(is_led) && replicas.iter().all(is_even)
}
