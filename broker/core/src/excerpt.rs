//! Texts that others chose, cut to a length that fits.

/// Longer messages help nobody, and may not fit a string with what they quote.
const MESSAGE_BYTES_MAX: usize = 4096;

/// A message to a client; of one that quotes something very long, the beginning.
pub fn message(text: impl Into<String>) -> String {
    let mut text = text.into();
    text.truncate(beginning(&text, MESSAGE_BYTES_MAX).len());
    text
}

/// The beginning of `text`, in at most so many bytes and whole characters.
#[must_use]
pub fn beginning(text: &str, bytes_max: usize) -> &str {
    let ends = (0..=bytes_max.min(text.len())).rev();
    let end = ends.into_iter().find(|end| text.is_char_boundary(*end));
    end.map_or("", |end| &text[..end])
}

#[test]
fn a_beginning_ends_with_a_whole_character() {
    for (bytes_max, expected) in [(0, ""), (1, "a"), (2, "a"), (3, "aé"), (9, "aéz")] {
        assert_eq!(beginning("aéz", bytes_max), expected);
    }
}
