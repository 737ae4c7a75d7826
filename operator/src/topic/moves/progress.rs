//! How far a topic's move has come: bytes and time that are left, by what brokers say of their
//! replicas. Pure.

use super::size;
use crate::crd::topic::{MovingPartition, Reassignment};
use crate::observed::{ObservedPartition, ObservedTopic, PartitionKey, Sizes};
use crate::spoken::{bytes, count};

/// At most so many partitions are listed.
pub const LISTED_MAX: usize = 100;
/// Figures that only say more of the same are not told again sooner than this, so that a move does
/// not write a status at every look.
const TOLD_EVERY_SECONDS: i64 = 5;

/// Bytes that the replicas being added still lack.
#[must_use]
pub fn bytes_left(partition: &ObservedPartition, key: &PartitionKey, sizes: &Sizes) -> u64 {
    let whole = size(sizes, key);
    let behind = partition.arriving();
    let behind = behind.filter(|id| !partition.isr.contains(id));
    let left = behind.map(|id| {
        let held = sizes.get(key).and_then(|all| all.get(&id));
        whole.saturating_sub(held.copied().unwrap_or(0))
    });
    left.sum()
}

/// The figures; none where nothing moves and nothing is to. `wanted` is the replication factor, if
/// any; `before` what was told last.
#[must_use]
pub fn progress(
    name: &str,
    topic: &ObservedTopic,
    wanted: Option<i32>,
    sizes: &Sizes,
    before: Option<&Reassignment>,
    now: &str,
) -> Option<Reassignment> {
    let wanted = wanted.and_then(|wanted| usize::try_from(wanted).ok());
    let mut moving = Vec::new();
    let (mut partitions_left, mut left) = (0, 0_u64);
    for (index, partition) in (0..).zip(&topic.partitions) {
        let key = (name.to_owned(), index);
        if partition.is_moving() {
            let bytes = bytes_left(partition, &key, sizes);
            let adding: Vec<i32> = partition.arriving().collect();
            let whole = size(sizes, &key).saturating_mul(adding.len() as u64);
            left = left.saturating_add(bytes);
            partitions_left += 1;
            moving.push(MovingPartition {
                partition: index,
                adding,
                removing: partition.removing.clone(),
                bytes_total: signed(whole),
                bytes_left: signed(bytes),
            });
        } else if let Some(wanted) = wanted.filter(|wanted| *wanted != partition.replicas.len()) {
            let copies = wanted.saturating_sub(partition.replicas.len()) as u64;
            left = left.saturating_add(size(sizes, &key).saturating_mul(copies));
            partitions_left += 1;
        }
    }
    (partitions_left > 0).then(|| told((partitions_left, left), moving, before, now))
}

/// The figures of so many partitions that are not as they should be, and so many bytes.
#[must_use]
pub fn told(
    (partitions_left, left): (i32, u64),
    mut moving: Vec<MovingPartition>,
    before: Option<&Reassignment>,
    now: &str,
) -> Reassignment {
    moving.truncate(LISTED_MAX);
    let bytes_left = signed(left);
    let started_at = before.map_or(now, |before| before.started_at.as_str());
    let bytes_total = before
        .map_or(0, |before| before.bytes_total)
        .max(bytes_left);
    let seconds_left = seconds_left(started_at, now, bytes_total, bytes_left);
    let new = Reassignment {
        summary: summary(partitions_left, bytes_left, bytes_total, seconds_left),
        started_at: started_at.to_owned(),
        updated_at: now.to_owned(),
        partitions_left,
        bytes_total,
        bytes_left,
        seconds_left,
        moving,
    };
    match before.filter(|before| !is_news(before, &new)) {
        Some(before) => before.clone(),
        None => new,
    }
}

fn is_news(before: &Reassignment, new: &Reassignment) -> bool {
    let who = |told: &Reassignment| {
        let partitions = told.moving.iter().map(|one| one.partition);
        partitions.collect::<Vec<_>>()
    };
    let age = seconds_between(&before.updated_at, &new.updated_at);
    before.partitions_left != new.partitions_left
        || who(before) != who(new)
        || age.is_none_or(|age| !(0..TOLD_EVERY_SECONDS).contains(&age))
}

/// By the speed since the start; none while that cannot be told.
fn seconds_left(started_at: &str, now: &str, total: i64, left: i64) -> Option<i64> {
    let elapsed = seconds_between(started_at, now).filter(|elapsed| *elapsed > 0)?;
    let done = total.saturating_sub(left);
    if done <= 0 {
        return None;
    }
    let seconds = i128::from(elapsed) * i128::from(left) / i128::from(done);
    i64::try_from(seconds).ok()
}

fn seconds_between(from: &str, to: &str) -> Option<i64> {
    let time = |text: &str| text.parse::<jiff::Timestamp>().ok();
    Some(time(to)?.as_second() - time(from)?.as_second())
}

fn summary(partitions: i32, left: i64, total: i64, seconds: Option<i64>) -> String {
    let partitions = count(usize::try_from(partitions).unwrap_or(0), "partition");
    let time = match seconds {
        Some(seconds @ 0..120) => format!(", about {seconds} s"),
        Some(seconds) => format!(", about {} min", seconds / 60),
        None => String::new(),
    };
    let (left, total) = (bytes(left), bytes(total));
    format!("{partitions}, {left} of {total} left{time}")
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
