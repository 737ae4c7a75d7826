//! Who writes into the table, and what it has committed.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::Result;

use super::history::History;
use crate::proofs::postgres::Postgres;

const ROWS_MAX: u64 = 200;
/// Rows that are there before Debezium begins.
const ROWS_FIRST: u64 = 100;
const CHANGES: u64 = 10;
const LARGE_EVERY: u64 = 21;
const CHANGES_OF_LARGE: u64 = 200;
const ROLLED_BACK_EVERY: u64 = 5;
/// Of the changes of rows that are there, one in so many deletes.
const DELETED_ONE_IN: u64 = 4;

/// With what a row was, a deletion tells which change it came after.
const TABLE: &str = "
    CREATE TABLE rows (id integer PRIMARY KEY, change bigint NOT NULL, text text NOT NULL);
    ALTER TABLE rows REPLICA IDENTITY FULL;
";

/// Writes one transaction after the other; the same ones in every run.
#[derive(Default)]
pub(super) struct Writer {
    history: History,
    /// The rows that the table has.
    rows: BTreeSet<u64>,
    /// The number of the last change, whether or not it was committed.
    number: u64,
    transactions: u64,
    rolled_back: u64,
}

/// A row is inserted or updated, else deleted.
struct Change {
    id: u64,
    number: u64,
    is_put: bool,
}

impl Writer {
    /// Makes the table, with some rows.
    pub(super) fn begin(postgres: &Postgres) -> Result<Self> {
        let mut writer = Self::default();
        let mut statements = TABLE.to_string();
        let mut changes = Vec::new();
        for id in 0..ROWS_FIRST {
            writer.number += 1;
            statements += &insert(id, writer.number);
            changes.push(Change {
                id,
                number: writer.number,
                is_put: true,
            });
            writer.rows.insert(id);
        }
        postgres.sql(&statements)?;
        writer.add(changes);
        Ok(writer)
    }

    /// Writes a transaction.
    pub(super) fn write(&mut self, postgres: &Postgres) -> Result<()> {
        self.transactions += 1;
        let changes = match self.transactions.is_multiple_of(LARGE_EVERY) {
            true => CHANGES_OF_LARGE,
            false => CHANGES,
        };
        let is_committed = !self.transactions.is_multiple_of(ROLLED_BACK_EVERY);
        let mut statements = "BEGIN;\n".to_string();
        let mut rows = self.rows.clone();
        let mut changed = Vec::new();
        for _ in 0..changes {
            self.number += 1;
            changed.push(change(self.number, &mut rows, &mut statements)?);
        }
        statements += if is_committed { "COMMIT;" } else { "ROLLBACK;" };
        postgres.sql(&statements)?;
        if is_committed {
            self.rows = rows;
            self.add(changed);
        } else {
            self.rolled_back += 1;
        }
        Ok(())
    }

    fn add(&mut self, changes: Vec<Change>) {
        for Change { id, number, is_put } in changes {
            match is_put {
                true => self.history.put(id, number, &text(number)),
                false => self.history.delete(id),
            }
        }
    }

    /// What the topic has to be.
    pub(super) fn history(&self) -> &History {
        &self.history
    }

    /// How many transactions were committed.
    pub(super) fn committed(&self) -> u64 {
        self.transactions - self.rolled_back
    }

    /// How many transactions were not committed.
    pub(super) fn rolled_back(&self) -> u64 {
        self.rolled_back
    }
}

/// Adds the change of this number: of which row and of what kind is a matter of the number.
fn change(number: u64, rows: &mut BTreeSet<u64>, statements: &mut String) -> Result<Change> {
    // Fibonacci hashing: neighbours are far from each other
    let hash = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    let id = hash % ROWS_MAX;
    let is_put = if rows.insert(id) {
        *statements += &insert(id, number);
        true
    } else if (hash / ROWS_MAX).is_multiple_of(DELETED_ONE_IN) {
        writeln!(statements, "DELETE FROM rows WHERE id = {id};")?;
        rows.remove(&id);
        false
    } else {
        let set = format!("change = {number}, text = '{}'", text(number));
        writeln!(statements, "UPDATE rows SET {set} WHERE id = {id};")?;
        true
    };
    Ok(Change { id, number, is_put })
}

fn insert(id: u64, number: u64) -> String {
    format!(
        "INSERT INTO rows VALUES ({id}, {number}, '{}');\n",
        text(number)
    )
}

fn text(number: u64) -> String {
    format!("text of change {number}")
}
