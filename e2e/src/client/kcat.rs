//! kcat, a client on librdkafka.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::{Output, run};
use crate::process::bound_to_us;

const TIMEOUT: Duration = Duration::from_secs(60);

/// Runs kcat with these arguments, separated by spaces, and this on stdin.
///
/// # Errors
/// It is not there or does not end in time.
pub fn kcat(bootstrap: &str, args: &[&str], input: &str) -> Result<Output> {
    let mut command = bound_to_us(Path::new("kcat"));
    command.args(["-b", bootstrap]).args(args);
    run(command, input.as_bytes(), TIMEOUT)
}

/// How many brokers this one knows of; nothing where it does not answer.
#[must_use]
pub fn broker_count(address: &str) -> Option<usize> {
    let output = kcat(address, &["-L", "-m", "2", "-t", "__none"], "").ok()?;
    let line = output
        .stdout
        .lines()
        .find(|line| line.trim_end().ends_with("brokers:"))?;
    line.trim().split(' ').next()?.parse().ok()
}
