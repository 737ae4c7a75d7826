//! The table of what a process counts, from which its page and its documentation come.

use std::fmt::Write;

use prometheus_client::encoding::{EncodeMetric, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

/// A row of the table.
#[derive(Debug)]
pub struct Row {
    /// The name that Prometheus sees.
    pub name: &'static str,
    /// What it is to Prometheus.
    pub kind: MetricType,
    /// What one of it is.
    pub unit: &'static str,
    /// What it says.
    pub help: &'static str,
}

/// The page for Prometheus, as it is being written.
#[derive(Debug, Default)]
pub struct Page(Registry);

impl Page {
    /// Adds a number.
    pub fn add(
        &mut self,
        row: &Row,
        metric: impl EncodeMetric + Send + Sync + std::fmt::Debug + 'static,
    ) {
        // the library adds what is cut off: Prometheus' ending of a counter, and a full stop
        let name = match row.kind {
            MetricType::Counter => row.name.trim_end_matches("_total"),
            _ => row.name,
        };
        self.0
            .register(name, row.help.trim().trim_end_matches('.'), metric);
    }

    /// Its text, in Prometheus' format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // writing to a String cannot fail
        let _ = prometheus_text::encode(&mut text, &self.0);
        text
    }
}

/// A page of docs/ with these rows, as the file must have it; `head` ends with an empty line.
#[must_use]
pub fn docs<'a>(head: &str, rows: impl IntoIterator<Item = &'a Row>) -> String {
    let mut page = format!("{head}| name | type | unit | what |\n|---|---|---|---|\n");
    for Row {
        name,
        kind,
        unit,
        help,
    } in rows
    {
        let _ = writeln!(
            page,
            "| `{name}` | {} | {unit} | {} |",
            kind.as_str(),
            help.trim()
        );
    }
    page
}

/// A struct of numbers, from a table of `field: Type = "name", "unit"[, how it is made];` with what
/// each says as its doc comment. It has `ROWS`, all rows of the table, and `page()`, the text for
/// Prometheus.
#[macro_export]
macro_rules! metrics {
    ($(#[doc = $about:literal])+ $name:ident {
        $($(#[doc = $help:literal])+ $field:ident: $type:ty = $metric:literal, $unit:literal
            $(, $new:expr)?;)*
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug)]
        pub struct $name {
            $($(#[doc = $help])+ pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $crate::metrics!(@new $type $(, $new)?),)* }
            }
        }

        impl $name {
            /// All of them, in the order of the page.
            pub const ROWS: &[$crate::Row] = &[$($crate::Row {
                name: $metric,
                kind: <$type as $crate::TypedMetric>::TYPE,
                unit: $unit,
                help: concat!($($help),+),
            }),*];

            /// The page for Prometheus.
            #[must_use]
            pub fn page(&self) -> String {
                let mut page = $crate::Page::default();
                let mut rows = Self::ROWS.iter();
                $(if let Some(row) = rows.next() {
                    page.add(row, self.$field.clone());
                })*
                page.text()
            }
        }
    };
    (@new $type:ty) => { <$type>::default() };
    (@new $type:ty, $new:expr) => { $new };
}

#[cfg(test)]
mod tests;
