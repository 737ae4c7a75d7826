//! Stands in for what openraft formats its log lines with.
//!
//! The crate of this name also formats times, for which it builds chrono with a database of all
//! time zones and their generators: a dozen crates that nobody here uses. `[patch.crates-io]` in
//! the workspace puts this one in place; it has what openraft calls.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};

/// How many elements of a sequence are written where the caller does not say.
const ELEMENTS_MAX: usize = 5;

/// Written by a closure.
struct By<F>(F);

impl<F: Fn(&mut Formatter<'_>) -> fmt::Result> Display for By<F> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        (self.0)(f)
    }
}

/// `[a,b,..,z]`, or with other brackets: at most so many, the last one among them.
fn sequence<'a, T: Display + 'a>(
    elements: impl ExactSizeIterator<Item = &'a T> + Clone,
    brackets: [char; 2],
    elements_max: usize,
) -> impl Display {
    By(move |f: &mut Formatter<'_>| {
        let count = elements.len();
        write!(f, "{}", brackets[0])?;
        for (place, element) in elements.clone().enumerate() {
            let is_last = place + 1 == count;
            let separator = if place == 0 { "" } else { "," };
            if is_last || place + 1 < elements_max {
                write!(f, "{separator}{element}")?;
            } else if place + 1 == elements_max {
                write!(f, "{separator}..")?;
            }
        }
        write!(f, "{}", brackets[1])
    })
}

/// An option, or `None`.
pub trait DisplayOptionExt {
    /// What writes it.
    fn display(&self) -> impl Display;
}

impl<T: Display> DisplayOptionExt for Option<T> {
    fn display(&self) -> impl Display {
        By(move |f: &mut Formatter<'_>| match self {
            Some(value) => value.fmt(f),
            None => f.write_str("None"),
        })
    }
}

/// A result, as `Ok(value)` or `Err(error)`.
pub trait DisplayResultExt {
    /// What writes it.
    fn display(&self) -> impl Display;
}

impl<T: Display, E: Display> DisplayResultExt for Result<T, E> {
    fn display(&self) -> impl Display {
        By(move |f: &mut Formatter<'_>| match self {
            Ok(value) => write!(f, "Ok({value})"),
            Err(error) => write!(f, "Err({error})"),
        })
    }
}

/// A slice, cut where it is long.
pub trait DisplaySliceExt {
    /// What writes a few elements.
    fn display(&self) -> impl Display {
        self.display_n(ELEMENTS_MAX)
    }

    /// What writes at most so many.
    fn display_n(&self, elements_max: usize) -> impl Display;
}

impl<T: Display> DisplaySliceExt for [T] {
    fn display_n(&self, elements_max: usize) -> impl Display {
        sequence(self.iter(), ['[', ']'], elements_max)
    }
}

/// A set, cut where it is long.
pub trait DisplayBTreeSetExt {
    /// What writes a few elements.
    fn display(&self) -> impl Display;
}

impl<T: Display> DisplayBTreeSetExt for BTreeSet<T> {
    fn display(&self) -> impl Display {
        sequence(self.iter(), ['{', '}'], ELEMENTS_MAX)
    }
}

#[test]
fn sequences_are_cut_in_the_middle() {
    let numbers = [1, 2, 3, 4, 5, 6, 7];
    let cases = [
        (numbers[..0].display().to_string(), "[]"),
        (numbers[..5].display().to_string(), "[1,2,3,4,5]"),
        (numbers.display().to_string(), "[1,2,3,4,..,7]"),
        (numbers.display_n(9).to_string(), "[1,2,3,4,5,6,7]"),
        (BTreeSet::from([2, 1]).display().to_string(), "{1,2}"),
        (Some(1).display().to_string(), "1"),
        (None::<u8>.display().to_string(), "None"),
        (Err::<u8, _>(2).display().to_string(), "Err(2)"),
    ];
    for (written, expected) in cases {
        assert_eq!(written, expected);
    }
}
