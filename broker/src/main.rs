//! The broker process.

use std::process::ExitCode;

fn main() -> ExitCode {
    ottla_broker::command::main()
}
