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

/// Replaces `${env:NAME}`, the form of Kafka's environment provider, by what `variable` says.
///
/// # Errors
/// The first name that it does not know.
pub fn expand(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${env:") {
        let Some((name, after)) = after.split_once('}') else {
            break;
        };
        expanded += before;
        expanded += &variable(name).ok_or_else(|| name.to_owned())?;
        rest = after;
    }
    Ok(expanded + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_expanded() {
        let known = |name: &str| (name == "HOST").then(|| "10.0.0.1".to_owned());
        let text = "l=P://${env:HOST}:1,Q://${env:HOST}:2\n";
        let expanded = expand(text, known).unwrap();
        assert_eq!(expanded, "l=P://10.0.0.1:1,Q://10.0.0.1:2\n");
        assert_eq!(expand("a=${env:NONE}", known), Err("NONE".to_owned()));
        assert_eq!(expand("a=${env:", known).unwrap(), "a=${env:");
    }

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
