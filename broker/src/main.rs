//! The broker process.

use std::process::ExitCode;

fn main() -> ExitCode {
    // cargo builds the binary with every integration test, also with the simulation's features
    if cfg!(feature = "simulation") {
        eprintln!(
            "ottla-broker: this binary was built for the simulation and cannot run by itself; \
             build it without --features simulation"
        );
        return ExitCode::FAILURE;
    }
    ottla_broker::command::main()
}
