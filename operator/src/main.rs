//! The operator process.

use clap::Parser;
use ottla_operator::Command;

fn main() -> std::process::ExitCode {
    ottla_operator::main(Command::parse())
}
