//! Transactional producers of librdkafka (`e2e/clients/transactions.py`).

use std::process::Command;
use std::time::Duration;

use super::{Output, run};
use crate::process::bound_to_us;
use crate::setup;
use anyhow::Result;

const TIMEOUT: Duration = Duration::from_secs(240);

/// A scenario over two topics that are there already.
#[must_use]
pub fn scenario(name: &str, bootstrap: &str, input: &str, output: &str) -> Command {
    let mut command = bound_to_us(setup::python());
    command
        .arg(setup::checkout().join("e2e/clients/transactions.py"))
        .arg(name)
        .args(["--bootstrap", bootstrap])
        .args(["--input", input, "--output", output]);
    command
}

/// Runs a scenario to its end.
///
/// # Errors
/// Something is not as promised.
pub fn check(scenario: Command) -> Result<Output> {
    run(scenario, &[], TIMEOUT)?.success()
}
