//! How many topics one request changes.
//!
//! What brokers carry out at once they hand on at once, and one that is busy does nothing else
//! meanwhile. So less is asked of brokers that answer late, or not at all, and more of quick ones.

use std::time::Duration;

/// At most so many topics in one request.
pub const PORTION_MAX: usize = 500;
/// So many are asked for however late the answers come.
const PORTION_MIN: usize = 8;
/// An answer that took longer is late.
const LATE: Duration = Duration::from_secs(1);
/// An answer that took no longer is quick.
const QUICK: Duration = Duration::from_millis(300);

/// The portion of the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion(usize);

impl Default for Portion {
    fn default() -> Self {
        Self(PORTION_MAX)
    }
}

impl Portion {
    /// How many topics it has at most.
    #[must_use]
    pub fn topics(self) -> usize {
        self.0
    }

    /// The portion after a request for so many topics, whose answer took so long; none where none
    /// came. A quick answer to a small request says nothing of a large one.
    #[must_use]
    pub fn after(self, topics: usize, took: Option<Duration>) -> Self {
        match took {
            Some(took) if took <= QUICK && topics < self.0 => self,
            Some(took) if took <= QUICK => Self((self.0 * 2).min(PORTION_MAX)),
            Some(took) if took <= LATE => self,
            _ => Self((self.0 / 2).max(PORTION_MIN)),
        }
    }
}

#[test]
fn portions_shrink_while_answers_are_late_and_grow_again() {
    let seconds = |seconds| Some(Duration::from_secs_f64(seconds));
    let mut portion = Portion::default();
    let mut portions = Vec::new();
    for took in [seconds(0.1), seconds(1.5), None, seconds(0.9), seconds(0.2)] {
        portion = portion.after(portion.topics(), took);
        portions.push(portion.topics());
    }
    assert_eq!(portions, [500, 250, 125, 125, 250]);
    assert_eq!(portion.after(1, seconds(0.1)), portion, "one is not many");
    let never = (0..20).fold(portion, |portion, _| portion.after(8, None));
    assert_eq!(never.topics(), PORTION_MIN);
}
