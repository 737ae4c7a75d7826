//! `docs/configuration.md`, written from the table.

use std::fmt::Write;

use super::table::{Kind, SETTINGS, Update};
use crate::paragraph::paragraph;

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
        page.push_str(&paragraph(doc));
    }
    page
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
