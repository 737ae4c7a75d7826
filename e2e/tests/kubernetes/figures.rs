//! What was measured, beside what was promised.

use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_e2e::figures::keep;

struct Figure {
    what: String,
    measured: f64,
    promised: f64,
    unit: &'static str,
}

static FIGURES: Mutex<Vec<Figure>> = Mutex::new(Vec::new());

/// A busy or slow machine may take so many times longer than promised before a step fails.
const LENIENCE: f64 = 3.0;

/// Notes how long something took that is promised within so many seconds.
///
/// # Errors
/// It took far longer.
pub fn within(what: &str, promised_seconds: f64, took: Duration) -> Result<()> {
    let seconds = took.as_secs_f64();
    note(what, seconds, promised_seconds, "s");
    ensure!(
        seconds <= promised_seconds * LENIENCE,
        "{what}: {seconds:.1} s, promised within {promised_seconds} s"
    );
    Ok(())
}

/// A pause of clients longer than this has another cause than a slow machine.
const PAUSE_MAX: Duration = Duration::from_secs(20);

/// For how long clients get no answer at most where brokers are asked to stop.
pub const STOPS_S: f64 = 1.0;
/// And where a node dies, whose address answers nothing more, not even that nobody is there.
pub const DIES_S: f64 = 3.0;

/// Notes for how long clients got no answer, beside what is promised.
///
/// # Errors
/// It was so long that a slow machine is no reason.
pub fn pause(what: &str, promised_seconds: f64, took: Duration) -> Result<()> {
    note(what, took.as_secs_f64(), promised_seconds, "s");
    ensure!(took <= PAUSE_MAX, "{what}: {took:?}");
    Ok(())
}

/// Notes a latency beside what is promised of it on a machine that has no other work.
pub fn latency(what: &str, promised_ms: f64, measured_ms: f64) {
    note(what, measured_ms, promised_ms, "ms");
}

/// Notes how much memory something holds that is promised to hold at most so many MiB.
///
/// # Errors
/// It holds more. Memory does not depend on how fast a machine is.
pub fn at_most_mib(what: &str, promised: f64, measured: f64) -> Result<()> {
    note(what, measured, promised, "MiB");
    ensure!(
        measured <= promised,
        "{what}: {measured:.1} MiB, promised at most {promised} MiB"
    );
    Ok(())
}

/// Notes a figure that nothing was promised of.
pub fn measured(what: &str, value: f64, unit: &'static str) {
    note(what, value, f64::NAN, unit);
}

fn note(what: &str, measured: f64, promised: f64, unit: &'static str) {
    println!("{what}: {measured:.1} {unit}");
    let figure = Figure {
        what: what.to_owned(),
        measured,
        promised,
        unit,
    };
    if let Err(error) = keep("kind", what, &figure.measured(), &figure.promised()) {
        println!("not written to the page of figures: {error:#}");
    }
    FIGURES
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .push(figure);
}

impl Figure {
    fn measured(&self) -> String {
        format!("{:.1} {}", self.measured, self.unit)
    }

    fn promised(&self) -> String {
        if self.promised.is_nan() {
            return String::new();
        }
        format!("{} {}", self.promised, self.unit)
    }
}

/// All figures as a table.
pub fn table() -> String {
    let figures = FIGURES
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut lines = vec![format!(
        "{:<58} {:>12} {:>12}",
        "what", "measured", "promised"
    )];
    for figure in figures.iter() {
        let (measured, promised) = (figure.measured(), figure.promised());
        lines.push(format!("{:<58} {measured:>12} {promised:>12}", figure.what));
    }
    lines.join("\n")
}
