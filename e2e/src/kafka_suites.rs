//! Apache Kafka's own integration tests against our brokers, and the table of what came out
//! (`docs/compatibility-kafka.md`).
//!
//! The tests are Kafka's jars, unmodified. They get their cluster from one class, and
//! `e2e/suites/kit` has another class of that name, which starts processes of ottla-broker.
//!
//! - [`kept`]: what classes came to, so that a run can be interrupted.
//! - [`known`]: which tests are known not to pass, and why.
//! - [`run`]: which classes there are; runs them, several at a time.
//! - [`worker`]: a JVM that runs one class after the other.
//! - [`table`]: the page.

pub mod kept;
pub mod known;
pub mod run;
pub mod table;
pub mod worker;

/// How one run of a test ended, as JUnit says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passed.
    Passed,
    /// It failed, with these words.
    Failed(String),
    /// It asked for an object inside a broker in the JVM of the test: for this one.
    Internals(String),
    /// It says itself that it does not apply.
    Skipped,
}

/// One run of a test; a test may run several times, with different clusters or arguments.
#[derive(Clone, Debug)]
pub struct Case {
    /// The full name of its class.
    pub class: String,
    /// Its method.
    pub method: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it ran.
    pub seconds: f64,
}

impl Case {
    /// `Class#method`, without the package.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}#{}", short(&self.class), self.method)
    }
}

/// The name of a class without its package.
#[must_use]
pub fn short(class: &str) -> &str {
    class.rsplit('.').next().unwrap_or(class)
}

/// What a case is, in the light of what is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It passed.
    Passed,
    /// It needs what only a broker in the JVM of the test has.
    Internals(String),
    /// It is about something that Ottla does not have yet.
    Missing(String),
    /// Ottla differs here on purpose.
    Different(String),
    /// A fault.
    Failed(String),
    /// It does not apply.
    Skipped,
}

/// What this case is.
#[must_use]
pub fn judge(case: &Case, known: &known::Known) -> Verdict {
    match &case.outcome {
        Outcome::Passed => Verdict::Passed,
        Outcome::Skipped => Verdict::Skipped,
        Outcome::Internals(why) => Verdict::Internals(why.clone()),
        Outcome::Failed(why) => match known.of(&case.label(), why) {
            Some((known::Kind::Internals, why)) => Verdict::Internals(why.to_string()),
            Some((known::Kind::Missing, why)) => Verdict::Missing(why.to_string()),
            Some((known::Kind::Different, why)) => Verdict::Different(why.to_string()),
            Some((known::Kind::LeftOut, _)) | None => Verdict::Failed(why.clone()),
        },
    }
}
