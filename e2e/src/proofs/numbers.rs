//! Numbers in their order in the partitions of the topic `input`, which a program copies into those
//! of `output`: each once, in the same partition and order.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::committed;
use crate::client::kcat::kcat;
use crate::cluster::Cluster;

const KEYS: u64 = 50;

/// Appends so many numbers from this one on to a partition of the input, each once.
pub(super) fn feed(cluster: &Cluster, partition: u16, from: u64, count: u64) -> Result<()> {
    let records: String = (from..from + count)
        .map(|number| format!("{}:{number}\n", number % KEYS))
        .collect();
    let partition = partition.to_string();
    let args = ["-P", "-t", "input", "-p", &partition, "-K", ":"];
    let safe = ["-X", "enable.idempotence=true"];
    kcat(
        &cluster.bootstrap(),
        &[args.as_slice(), &safe].concat(),
        &records,
    )?
    .success()?;
    Ok(())
}

/// Whether what is committed of a partition of the output is the input, which has so many records.
pub(super) fn check(cluster: &Cluster, partition: u16, records: u64) -> Result<()> {
    let copied = numbers(cluster, "output", partition)?;
    let difference = Difference::of(records, &copied);
    if difference != Difference::default() {
        let input = Difference::of(records, &numbers(cluster, "input", partition)?);
        bail!(
            "partition {partition}, {records} records: {difference:?}; of the input itself: \
             {input:?}"
        );
    }
    Ok(())
}

/// The committed numbers of a partition, in its order.
fn numbers(cluster: &Cluster, topic: &str, partition: u16) -> Result<Vec<u64>> {
    let values = committed(cluster, topic, partition)?;
    values.iter().map(|value| Ok(value.parse()?)).collect()
}

/// How a copy differs from the numbers 0, 1, … in their order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference {
    lost: Vec<u64>,
    duplicated: Vec<u64>,
    out_of_order: Vec<u64>,
}

impl Difference {
    fn of(records: u64, copied: &[u64]) -> Self {
        const TOLD_MAX: usize = 20;
        let mut difference = Self::default();
        let mut seen = BTreeSet::new();
        for number in copied {
            if seen.last().is_some_and(|last| last > number) && !seen.contains(number) {
                difference.out_of_order.push(*number);
            }
            if !seen.insert(*number) || *number >= records {
                difference.duplicated.push(*number);
            }
        }
        difference.lost = (0..records)
            .filter(|number| !seen.contains(number))
            .collect();
        for numbers in [
            &mut difference.lost,
            &mut difference.duplicated,
            &mut difference.out_of_order,
        ] {
            numbers.truncate(TOLD_MAX);
        }
        difference
    }
}

#[cfg(test)]
mod tests {
    use super::Difference;

    #[test]
    fn a_copy_that_differs_is_told() {
        let difference = Difference::of(5, &[0, 1, 3, 2, 3]);
        assert_eq!(difference.lost, [4]);
        assert_eq!(difference.duplicated, [3]);
        assert_eq!(difference.out_of_order, [2]);
        assert_eq!(Difference::of(3, &[0, 1, 2]), Difference::default());
        assert_eq!(Difference::of(1, &[0, 1]).duplicated, [1]);
    }
}
