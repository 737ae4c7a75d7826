//! `docs/configuration.md`, written from the table.

use std::fmt::Write;

use super::table::{Kind, SETTINGS, Update};

/// The page, as the file must have it.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        "# Broker settings\n\n\
         Written from the table in the source by `ottla-broker settings`; a test fails when it is\n\
         stale. `ottla-broker --config FILE` reads a properties file with these names, which are\n\
         Kafka's or begin with `ottla.`; an unknown name is refused. Broker-wide defaults of\n\
         topic configs (`log.retention.ms`, …) may stand in the same file.\n",
    );
    for setting in SETTINGS {
        let kind = match setting.kind {
            Kind::Boolean => "boolean",
            Kind::String => "string",
            Kind::Int => "int",
            Kind::Long => "long",
            Kind::List => "list",
        };
        let update = match setting.update {
            Update::ReadOnly => "needs a restart",
            Update::ClusterWide => "changes while running",
        };
        let default = match setting.default {
            "" => "empty".to_owned(),
            default => format!("`{default}`"),
        };
        let doc = setting.doc.trim();
        // writing to a String cannot fail
        let _ = write!(
            page,
            "\n## {}\n{kind}, default {default}, {update}\n\n",
            setting.name
        );
        let _ = writeln!(page, "{}", wrap(doc));
    }
    page
}

/// `text` in lines of at most 100 columns.
fn wrap(text: &str) -> String {
    let mut lines = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > 100 {
            lines.push('\n');
            column = 0;
        } else if column > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += width;
    }
    lines
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let page = super::page();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == page,
            "docs/configuration.md is stale: run the test with UPDATE_DOCS=1"
        );
    }
}
