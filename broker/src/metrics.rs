//! What a broker counts, and where it tells: `/metrics`, `/livez`, `/readyz`.
//!
//! One table gives each number its name, type, unit and help; it makes the struct, the page that
//! Prometheus reads, and `docs/metrics.md`. Counting is one relaxed addition.

pub mod http;

use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use ottla_protocol::api::ApiKey;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Counter {
    /// Adds `count`.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// How much it has grown to.
    #[must_use]
    pub fn get(&self) -> i64 {
        i64::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(i64::MAX)
    }
}

impl Gauge {
    /// Sets it.
    #[inline]
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Its value.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A row of the table.
pub struct Metric {
    /// The name that Prometheus sees.
    pub name: &'static str,
    /// `counter` or `gauge`.
    pub kind: &'static str,
    /// What one of it is.
    pub unit: &'static str,
    /// What it says.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $field:ident: $kind:ident = $name:literal, $unit:literal;)*) => {
        /// The numbers of one broker.
        #[derive(Debug)]
        pub struct Metrics {
            $($(#[doc = $help])+ pub $field: $kind,)*
            /// Requests by API.
            requests: [Counter; API_KEYS_MAX],
        }

        impl Default for Metrics {
            fn default() -> Self {
                let requests = std::array::from_fn(|_| Counter::default());
                Self { $($field: $kind::default(),)* requests }
            }
        }

        /// All numbers but those by API, in the order of the page.
        pub static METRICS: &[Metric] = &[$(Metric {
            name: $name,
            kind: metrics!(@ $kind),
            unit: $unit,
            help: concat!($($help),+),
        }),*];

        impl Metrics {
            fn values(&self) -> Vec<i64> {
                vec![$(self.$field.get()),*]
            }
        }
    };
    (@ Counter) => { "counter" };
    (@ Gauge) => { "gauge" };
}

/// Kafka's keys are below this.
const API_KEYS_MAX: usize = 128;

/// The number of requests by API, which has a label and so stands beside the table.
const REQUESTS: Metric = Metric {
    name: "ottla_requests_total",
    kind: "counter",
    unit: "requests",
    help: "Requests that have begun, by API.",
};

metrics! {
    /// Whether this broker is ready: registered, unfenced, caught up.
    ready: Gauge = "ottla_ready", "0 or 1";
    /// Whether this broker is the active controller.
    active_controller: Gauge = "ottla_active_controller", "0 or 1";
    /// Index of the last applied entry of the metadata log.
    metadata_applied: Gauge = "ottla_metadata_applied_index", "entries";
    /// Brokers registered in the cluster.
    brokers: Gauge = "ottla_brokers", "brokers";
    /// Brokers registered in the cluster and fenced.
    brokers_fenced: Gauge = "ottla_brokers_fenced", "brokers";
    /// Topics in the cluster.
    topics: Gauge = "ottla_topics", "topics";
    /// Partitions in the cluster without a leader.
    partitions_offline: Gauge = "ottla_partitions_offline", "partitions";
    /// Partitions of which this broker has a replica.
    partitions: Gauge = "ottla_partitions", "partitions";
    /// Partitions that this broker leads.
    partitions_led: Gauge = "ottla_partitions_led", "partitions";
    /// Partitions that this broker leads and whose ISR lacks a replica.
    partitions_under_replicated: Gauge = "ottla_partitions_under_replicated", "partitions";
    /// Connections of clients now.
    connections: Gauge = "ottla_connections", "connections";
    /// Bytes of requests that are being read or answered.
    queued_bytes: Gauge = "ottla_request_queued_bytes", "bytes";
    /// Bytes of record batches appended for producers.
    produced_bytes: Counter = "ottla_produced_bytes_total", "bytes";
    /// Bytes of record batches sent to consumers.
    fetched_bytes: Counter = "ottla_fetched_bytes_total", "bytes";
    /// Bytes of record batches sent to followers.
    replicated_bytes: Counter = "ottla_replicated_bytes_total", "bytes";
    /// Resident memory of the process.
    resident_bytes: Gauge = "ottla_resident_memory_bytes", "bytes";
}

impl Metrics {
    /// Counts a request that has begun.
    #[inline]
    pub fn request(&self, api: ApiKey) {
        if let Some(counter) = self.requests.get(api.key() as usize) {
            counter.add(1);
        }
    }

    /// The page for Prometheus.
    #[must_use]
    pub fn page(&self) -> String {
        let mut page = String::new();
        for (metric, value) in METRICS.iter().zip(self.values()) {
            head(&mut page, metric);
            // writing to a String cannot fail
            let _ = writeln!(page, "{} {value}", metric.name);
        }
        head(&mut page, &REQUESTS);
        for api in ApiKey::ALL {
            let count = self.requests[api.key() as usize].get();
            if count > 0 {
                let _ = writeln!(page, "{}{{api=\"{api}\"}} {count}", REQUESTS.name);
            }
        }
        page
    }
}

fn head(page: &mut String, metric: &Metric) {
    let Metric {
        name, kind, help, ..
    } = metric;
    let _ = writeln!(page, "# HELP {name} {}\n# TYPE {name} {kind}", help.trim());
}

/// `docs/metrics.md`, as the file must have it.
#[must_use]
pub fn docs() -> String {
    let mut page = String::from(
        "# Metrics of a broker\n\n\
         Served in Prometheus' text format at `/metrics` on `ottla.http.listener` (9404). Written\n\
         from the table in the source by `ottla-broker metrics`; a test fails when it is stale.\n\n\
         | name | type | unit | what |\n|---|---|---|---|\n",
    );
    for Metric {
        name,
        kind,
        unit,
        help,
    } in METRICS.iter().chain([&REQUESTS])
    {
        let _ = writeln!(page, "| `{name}` | {kind} | {unit} | {} |", help.trim());
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_each_number_once() {
        let metrics = Metrics::default();
        metrics.request(ApiKey::Produce);
        metrics.request(ApiKey::Produce);
        let page = metrics.page();
        assert!(
            page.contains("ottla_requests_total{api=\"Produce\"} 2\n"),
            "{page}"
        );
        for metric in METRICS {
            assert_eq!(
                page.matches(&format!("\n{} ", metric.name)).count(),
                1,
                "{}",
                metric.name
            );
        }
    }

    #[test]
    fn the_docs_are_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, docs()).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == docs(),
            "docs/metrics.md is stale: run the test with UPDATE_DOCS=1"
        );
    }
}
