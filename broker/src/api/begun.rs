//! Whether a request has done what those behind it wait for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Of a Produce: whether its records are appended, or refused. What is left is to wait for their
/// acknowledgement. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Begun(Arc<AtomicBool>);

impl Begun {
    /// They are.
    pub fn done(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether they are.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
