//! Prose of the generated pages, in lines of at most 100 columns.

use textwrap::{Options, WordSplitter};

/// How many columns a line of the documentation has at most.
const COLUMNS_MAX: usize = 100;

/// `text` as one paragraph with `indent` before each line, however it was broken into lines before;
/// it ends with a newline.
pub fn indented(indent: &str, text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    // a name or a value stays whole, so that a search finds it
    let options = Options::new(COLUMNS_MAX)
        .initial_indent(indent)
        .subsequent_indent(indent)
        .word_splitter(WordSplitter::NoHyphenation)
        .break_words(false);
    textwrap::fill(&words.join(" "), options) + "\n"
}
