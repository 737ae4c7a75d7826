//! The properties format: `key=value` lines, as Kafka's `server.properties` has them.

/// A key, its value, and the line it stood on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// The key.
    pub key: String,
    /// The value, without spaces around it.
    pub value: String,
    /// The line, from 1.
    pub line: usize,
}

/// Reads properties; lines that are empty or begin with `#` or `!` are skipped, a `\` at the end of
/// a line goes on with the next one.
///
/// # Errors
/// The number of the first line that has no `=` or `:`.
pub fn parse(text: &str) -> Result<Vec<Property>, usize> {
    let mut properties = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let mut logical = line.trim().to_owned();
        if logical.is_empty() || logical.starts_with(['#', '!']) {
            continue;
        }
        while logical.ends_with('\\') {
            logical.pop();
            let Some((_, next)) = lines.next() else { break };
            logical.push_str(next.trim());
        }
        let (key, value) = logical.split_once(['=', ':']).ok_or(at + 1)?;
        properties.push(Property {
            key: key.trim().to_owned(),
            value: value.trim().to_owned(),
            line: at + 1,
        });
    }
    Ok(properties)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_continuations() {
        let read = parse("# c\n\na = 1\nb=x\\\n  y\nl=P://h:1\n").unwrap();
        let pairs: Vec<_> = read
            .iter()
            .map(|p| (p.key.as_str(), p.value.as_str(), p.line))
            .collect();
        assert_eq!(pairs, [("a", "1", 3), ("b", "xy", 4), ("l", "P://h:1", 6)]);
        assert_eq!(parse("a=1\nnonsense\n"), Err(2));
    }
}
