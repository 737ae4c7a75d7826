//! What the tests of several modules share.

/// Breaks lines at spaces so that expected sentences fit on the page.
pub fn fold(text: &str) -> String {
    const COLUMNS: usize = 80;
    let mut folded = String::new();
    for line in text.lines() {
        let mut width = 0;
        for word in line.split(' ') {
            if width > 0 && width + word.len() > COLUMNS {
                folded += "\n    ";
                width = 4;
            } else if width > 0 {
                folded += " ";
            }
            folded += word;
            width += word.len() + 1;
        }
        folded += "\n";
    }
    folded
}
