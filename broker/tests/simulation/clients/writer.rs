//! Writers of transactions over several partitions. Some are aborted, some are left open by a
//! producer that another one of the same id replaces, while the first still believes in it.

use ottla_storage::sim::Random;

use super::transactor::{Ended, Rules, Transactor};
use crate::transactions::IN_TRANSACTION;
use crate::world::{BUSY, Shared, Slot};

/// How many there are.
pub const COUNT: usize = 2;

/// In one run of so many they have several batches in flight, and how many at most: as many as
/// brokers remember.
const SEVERAL_ONE_IN: usize = 2;
const IN_FLIGHT_MAX: usize = 5;

/// One writer.
pub struct Writer {
    shared: Shared,
    random: Random,
    number: usize,
    transactor: Transactor,
    transactions: usize,
    in_flight_max: usize,
}

/// How a transaction goes on once its records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Commit,
    Abort,
    /// Another producer comes.
    Replaced,
}

impl Writer {
    pub fn new(shared: &Shared, number: usize) -> Self {
        let mut random = shared.random(500 + number as u64);
        let rules = match random.one_in(2) {
            true => Rules::First,
            false => Rules::Second,
        };
        let writer = Self {
            transactor: Transactor::new(shared, &format!("writer-{number}"), "", rules),
            shared: shared.clone(),
            random,
            number,
            transactions: 0,
            in_flight_max: match shared.random(19).one_in(SEVERAL_ONE_IN) {
                true => IN_FLIGHT_MAX,
                false => 1,
            },
        };
        shared.join(&writer.name());
        writer
    }

    fn name(&self) -> String {
        format!("writer {}", self.number)
    }

    /// Writes transactions until the run ends.
    pub async fn run(mut self) {
        let mut has_begun = false;
        while !self.shared.with(|world| world.is_ending) {
            if !has_begun {
                has_begun = self.transactor.begin_anew().await.is_ok();
                continue;
            }
            self.transactions += 1;
            has_begun = self.transact().await;
            let pause = self.random.below(60) as u64;
            tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
        }
        self.shared.leave(&self.name());
    }

    /// The name of the present transaction, by which its values are known.
    fn transaction(&self) -> String {
        let (number, count) = (self.number, self.transactions);
        format!("{IN_TRANSACTION}{number}.{count}")
    }

    /// One transaction; says whether its producer can begin the next.
    async fn transact(&mut self) -> bool {
        let transaction = self.transaction();
        let mut written = 0;
        let batches = 1 + self.random.below(4);
        let mut is_whole = true;
        for _ in 0..batches {
            let slot = self.slot();
            let mut in_flight = Vec::new();
            for _ in 0..self.in_flight() {
                let count = 1 + self.random.below(3);
                let values = written..written + count;
                in_flight.push(values.map(|n| format!("{transaction}-{n}")).collect());
                written += count;
            }
            let done = self.transactor.write_batches(slot, &in_flight).await;
            is_whole = done.is_ok();
            if !is_whole {
                break;
            }
        }
        let turn = match self.random.below(8) {
            _ if !is_whole => Turn::Abort,
            0 | 1 => Turn::Abort,
            2 => Turn::Replaced,
            _ => Turn::Commit,
        };
        self.shared.trace(format_args!(
            "{transaction} has {written} records: {turn:?}"
        ));
        match turn {
            Turn::Commit => self.end(&transaction, true).await,
            // what was refused in its midst is not gone on with
            Turn::Abort => self.end(&transaction, false).await && is_whole,
            Turn::Replaced => self.replace(&transaction).await,
        }
    }

    /// How many batches are to be in flight now.
    fn in_flight(&mut self) -> usize {
        match self.in_flight_max {
            1 => 1,
            most => 1 + self.random.below(most),
        }
    }

    fn slot(&mut self) -> Slot {
        let slots: Vec<Slot> = Slot::of_topic(BUSY).chain(Slot::of_topic("pair")).collect();
        slots[self.random.below(slots.len())]
    }

    async fn end(&mut self, transaction: &str, is_commit: bool) -> bool {
        let ended = self.transactor.end(is_commit).await;
        self.shared.trace(format_args!("{transaction}: {ended:?}"));
        // who did not ask for a commit has none, whoever aborted it
        let told = match ended {
            Ended::AsAsked => Some(is_commit),
            Ended::Refused => Some(false),
            Ended::Unknown => (!is_commit).then_some(false),
        };
        if let Some(is_committed) = told {
            self.shared
                .with(|world| world.told.ended(transaction, is_committed));
        }
        ended == Ended::AsAsked
    }

    /// The next producer begins, and with that the transaction is aborted; then the last one, which
    /// knows nothing of it, goes on.
    async fn replace(&mut self, transaction: &str) -> bool {
        let mut zombie = self.transactor.zombie();
        if self.transactor.begin_anew().await.is_err() {
            return false;
        }
        self.shared
            .with(|world| world.told.ended(transaction, false));
        if self.random.one_in(2) {
            let slot = self.slot();
            let value = format!("{transaction}-zombie");
            if zombie.write(slot, &[value]).await.is_ok() {
                self.shared.violate(format!(
                    "ZombieWrote: {transaction} goes on in {slot}, and another has begun since"
                ));
            }
        }
        if zombie.end(true).await == Ended::AsAsked {
            self.shared.violate(format!(
                "ZombieCommitted: {transaction}, and another producer has begun since"
            ));
        }
        true
    }
}
