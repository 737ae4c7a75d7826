//! librdkafka's own test suite against a cluster of three brokers in racks, and the table of what
//! passed (`docs/compatibility.md`).
//!
//! Each test is a process of its own: one that fails or hangs ends none of the others.
//!
//! - [`catalogue`]: which tests the suite registers, and which of them say nothing about a broker.
//! - [`secure`]: how it logs in where brokers ask who comes.
//! - [`tokens`]: who gives it the tokens that it shows.
//! - [`run`]: runs them, several at a time, and once more, alone on new
//!   clusters, what failed beside others.
//! - [`table`]: the page.

pub mod catalogue;
pub mod run;
pub mod secure;
pub mod table;
pub mod tokens;

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passed.
    Passed,
    /// It failed, for this reason.
    Failed(String),
    /// It was not run or skipped itself, for this reason.
    Skipped(String),
}

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// The test's name in the suite.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it ran.
    pub seconds: f64,
}

impl Row {
    /// Whether the test ran and did not pass.
    pub fn has_failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_))
    }
}
