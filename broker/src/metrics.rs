//! What a broker counts: one table makes the struct, the page that Prometheus reads, and
//! `docs/metrics.md`. Counting takes no lock, and nothing is looked up by name for it.

use std::time::Duration;

use ottla_core::partition::Reader;
use ottla_protocol::api::ApiKey;
use ottla_protocol::ids::NodeId;
use ottla_telemetry::{Counter, Family, Gauge, Histogram, Rows, metrics};

metrics! {
    /// The numbers of one broker.
    Metrics {
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
        /// Partitions that this broker leads and whose ISR lacks a replica, those that a
        /// reassignment adds not counted.
        partitions_under_replicated: Gauge = "ottla_partitions_under_replicated", "partitions";
        /// Transactions that are open on partitions that this broker leads, while no coordinator
        /// knows of them, or for longer than any may take. The first are aborted by themselves.
        hanging_transactions: Gauge = "ottla_hanging_transactions", "transactions";
        /// How far a follower is behind in what this broker leads, by the partition in which it is
        /// furthest behind.
        follower_lag: Family<Labels, Gauge> = "ottla_follower_lag_records", "records";
        /// Logins by SASL.
        authentications: Counter = "ottla_authentications_total", "logins";
        /// Logins by SASL, and handshakes of TLS, that failed.
        authentication_failures: Counter = "ottla_authentication_failures_total", "attempts";
        /// Connections that were closed because their login was too old, and its client did not log
        /// in again.
        sessions_expired: Counter = "ottla_sessions_expired_total", "connections";
        /// Attempts to fetch the keys that tokens of OAUTHBEARER are signed by, that failed.
        token_keys_failures: Counter = "ottla_token_keys_failures_total", "attempts";
        /// When the certificate of a listener expires, in seconds since 1970.
        certificate_expiry: Family<Labels, Gauge> = "ottla_certificate_expiry_seconds", "seconds";
        /// Lines of the audit log that were dropped because they came faster than they could be
        /// written.
        audit_dropped: Counter = "ottla_audit_dropped_total", "lines";
        /// Time that clients were told to wait because they took more than their quota, by the
        /// quota and by who shares it: a user, a client id, or both. Who took nothing for an hour
        /// is not there.
        throttled: Family<QuotaLabels, Counter> = "ottla_throttle_ms_total", "milliseconds";
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
        /// Requests that have begun, by API.
        requests: Rows<Counter> = "ottla_requests_total", "requests", Rows::new("api", apis());
        /// Time from the begin of a request to its answer, by API; that includes what it waits
        /// for: a Fetch for records, a Produce with acks=all for the ISR.
        request_time: Rows<Histogram> = "ottla_request_seconds", "seconds",
            Rows::new("api", apis());
        /// Time that a Produce waits for what it appended to be on disk, here and, with acks=all,
        /// on the in-sync replicas.
        produce_wait: Histogram = "ottla_produce_wait_seconds", "seconds";
        /// Time that a Fetch waits because there is too little for an answer, by who fetches.
        fetch_wait: Rows<Histogram> = "ottla_fetch_wait_seconds", "seconds",
            Rows::new("reader", ["consumer", "follower"].map(str::to_owned));
        /// Time of a commit of the write-ahead log: its writes and one fsync.
        commit_time: Histogram = "ottla_commit_seconds", "seconds";
    }
}

/// The labels of a number that is looked at rather than counted.
pub type Labels = [(&'static str, String); 1];

/// The labels of a quota: its key, and who is counted together.
pub type QuotaLabels = [(&'static str, String); 3];

/// The names of Kafka's APIs, each in the place of its key; empty where there is none.
fn apis() -> impl Iterator<Item = String> {
    let last = ApiKey::ALL.iter().map(|api| api.key()).max();
    let name = |key| ApiKey::from_key(key).map_or("", ApiKey::name);
    (0..=last.unwrap_or_default()).map(move |key| name(key).to_owned())
}

/// Where an API's numbers are.
fn place(api: ApiKey) -> usize {
    usize::try_from(api.key()).unwrap_or(usize::MAX)
}

impl Metrics {
    /// Counts a request that has begun.
    #[inline]
    pub fn request(&self, api: ApiKey) {
        if let Some(counter) = self.requests.get(place(api)) {
            counter.inc();
        }
    }

    /// Counts a request that is answered after this time.
    #[inline]
    pub fn answered(&self, api: ApiKey, time: Duration) {
        if let Some(histogram) = self.request_time.get(place(api)) {
            histogram.observe(time);
        }
    }

    /// Counts a fetch that waited so long.
    pub fn fetch_waited(&self, reader: Reader, time: Duration) {
        let place = usize::from(matches!(reader, Reader::Follower(_)));
        if let Some(histogram) = self.fetch_wait.get(place) {
            histogram.observe(time);
        }
    }

    /// Tells how far each follower is behind.
    pub fn set_follower_lag(&self, lag: impl IntoIterator<Item = (NodeId, i64)>) {
        self.follower_lag.clear();
        for (follower, records) in lag {
            let labels = [("follower", follower.0.to_string())];
            self.follower_lag.get_or_create(&labels).set(records);
        }
    }
}

/// `docs/metrics.md`, as the file must have it.
#[must_use]
pub fn docs() -> String {
    let head = "# Metrics of a broker\n\n\
        Served in Prometheus' text format at `/metrics` on `ottla.http.listener` (9404). Written\n\
        from the table in the source by `ottla-broker metrics`; a test fails when it is stale. A\n\
        histogram has buckets from 0.1 ms to 10 s; what has not happened yet in a label is not\n\
        there. The operator's own are in [operator-metrics.md](operator-metrics.md).\n\n";
    ottla_telemetry::docs(head, Metrics::ROWS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_stands_on_the_page_once() {
        let metrics = Metrics::default();
        for api in ApiKey::ALL {
            metrics.request(*api);
            metrics.request(*api);
            metrics.answered(*api, Duration::from_millis(3));
        }
        metrics.fetch_waited(Reader::Follower(NodeId(2)), Duration::from_secs(1));
        metrics.set_follower_lag([(NodeId(1), 5)]);
        metrics.set_follower_lag([(NodeId(2), 7)]);
        let labels = [("listener", "SECURE".to_owned())];
        metrics.certificate_expiry.get_or_create(&labels).set(9);
        let who = ["quota", "user", "client_id"].map(|label| (label, "a".to_owned()));
        metrics.throttled.get_or_create(&who).inc();
        let page = metrics.page();
        let lines = [
            "ottla_requests_total{api=\"Produce\"} 2",
            "ottla_request_seconds_bucket{api=\"Fetch\",le=\"0.0025\"} 0",
            "ottla_request_seconds_bucket{api=\"Fetch\",le=\"0.005\"} 1",
            "ottla_fetch_wait_seconds_count{reader=\"follower\"} 1",
            "ottla_follower_lag_records{follower=\"2\"} 7",
            "ottla_certificate_expiry_seconds{listener=\"SECURE\"} 9",
        ];
        for line in lines {
            assert!(page.contains(&format!("\n{line}\n")), "{line} in {page}");
        }
        assert!(!page.contains("follower=\"1\""), "{page}");
        assert!(!page.contains("\"\""), "{page}");
        let types = page.lines().filter(|line| line.starts_with("# TYPE "));
        assert_eq!(types.count(), Metrics::ROWS.len());
        for api in ApiKey::ALL {
            let start = format!("\nottla_requests_total{{api=\"{api}\"}} ");
            assert_eq!(page.matches(&start).count(), 1, "{api}");
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
