//! What the operator counts, and what it says of itself: one table makes the struct, the page that
//! Prometheus reads, and `docs/operator-metrics.md`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ottla_telemetry::{Counter, Family, Gauge, Histogram, Pages, metrics, resident_bytes};

use crate::condition::State;
use crate::crd::cluster::CertificateStatus;
use crate::object::ObjectKey;

/// The labels of a number of one cluster: its namespace and its name.
pub type Labels = [(&'static str, String); 2];

metrics! {
    /// The numbers of one operator.
    Metrics {
        /// Whether this process holds the Lease and works; the others wait for it.
        leader: Gauge = "ottla_operator_leader", "0 or 1";
        /// KafkaClusters that exist.
        clusters: Gauge = "ottla_operator_clusters", "objects";
        /// KafkaTopics that exist.
        topics: Gauge = "ottla_operator_topics", "objects";
        /// KafkaUsers that exist.
        users: Gauge = "ottla_operator_users", "objects";
        /// KafkaRebalances that exist.
        rebalances: Gauge = "ottla_operator_rebalances", "objects";
        /// Partitions that the KafkaRebalances of a KafkaCluster still have to move.
        rebalancing: Family<Labels, Gauge> =
            "ottla_operator_rebalance_partitions_left", "partitions";
        /// Whether a KafkaCluster is Ready.
        cluster_ready: Family<Labels, Gauge> = "ottla_operator_cluster_ready", "0 or 1";
        /// Time of one step of a KafkaCluster: observe, plan, act.
        reconcile_time: Family<Labels, Histogram> = "ottla_operator_reconcile_seconds", "seconds";
        /// Steps after which a KafkaCluster is Stalled: somebody has to act.
        reconcile_errors: Family<Labels, Counter> =
            "ottla_operator_reconcile_errors_total", "steps";
        /// When the first certificate of a KafkaCluster expires, the operator's authorities among
        /// them, in seconds since 1970.
        certificate_expiry: Family<Labels, Gauge> =
            "ottla_operator_certificate_expiry_seconds", "seconds";
        /// When the first certificate of a KafkaCluster is due to be renewed, in seconds since
        /// 1970; once that has passed it was not.
        certificate_renewal: Family<Labels, Gauge> =
            "ottla_operator_certificate_renewal_seconds", "seconds";
        /// Statuses and finalizers that wait to be written, or for the answer.
        queued_writes: Gauge = "ottla_operator_queued_writes", "writes";
        /// Statuses written.
        statuses: Counter = "ottla_operator_status_writes_total", "writes";
        /// Writes that the API server refused.
        refusals: Counter = "ottla_operator_refused_writes_total", "writes";
        /// Resident memory of the process.
        resident_bytes: Gauge = "process_resident_memory_bytes", "bytes";
    }
}

fn labels(cluster: &ObjectKey) -> Labels {
    let ObjectKey { namespace, name } = cluster;
    [("namespace", namespace.clone()), ("name", name.clone())]
}

impl Metrics {
    /// Counts a step of a cluster that took so long and left it in this state.
    pub fn stepped(&self, cluster: &ObjectKey, time: Duration, state: Option<State>) {
        let labels = labels(cluster);
        let ready = i64::from(state == Some(State::Ready));
        self.cluster_ready.get_or_create(&labels).set(ready);
        self.reconcile_time.get_or_create(&labels).observe(time);
        let errors = self.reconcile_errors.get_or_create(&labels);
        errors.inc_by(u64::from(state == Some(State::Stalled)));
    }

    /// Tells how many partitions a cluster's KafkaRebalances still have to move.
    pub fn rebalancing(&self, cluster: &ObjectKey, partitions_left: i64) {
        let gauge = self.rebalancing.get_or_create(&labels(cluster));
        gauge.set(partitions_left);
    }

    /// Tells when the first of a cluster's certificates expires, and when the first is due to be
    /// renewed.
    pub fn certified(&self, cluster: &ObjectKey, certificates: &[CertificateStatus]) {
        let labels = labels(cluster);
        let expire = certificates.iter().map(|one| one.expires_at.as_str());
        tell_first(&self.certificate_expiry, &labels, expire);
        let due = certificates.iter().map(|one| one.renewal_due.as_str());
        tell_first(&self.certificate_renewal, &labels, due);
    }

    /// Forgets a cluster that is gone.
    pub fn forget(&self, cluster: &ObjectKey) {
        let labels = labels(cluster);
        self.cluster_ready.remove(&labels);
        self.rebalancing.remove(&labels);
        self.reconcile_time.remove(&labels);
        self.reconcile_errors.remove(&labels);
        self.certificate_expiry.remove(&labels);
        self.certificate_renewal.remove(&labels);
    }
}

/// Tells the first of these times; nothing where there is none.
fn tell_first<'a>(
    family: &Family<Labels, Gauge>,
    labels: &Labels,
    times: impl Iterator<Item = &'a str>,
) {
    let seconds = times.filter_map(|time| Some(time.parse::<jiff::Timestamp>().ok()?.as_second()));
    match seconds.min() {
        Some(first) => drop(family.get_or_create(labels).set(first)),
        None => drop(family.remove(labels)),
    }
}

/// What the pages of one operator tell. Clones tell the same.
#[derive(Clone, Default)]
pub struct Telemetry {
    /// The numbers.
    pub metrics: Metrics,
    waits_for: Arc<Mutex<Option<String>>>,
}

impl Telemetry {
    /// Says what the operator cannot work without; nothing where it works, or where another does.
    pub fn set_waiting(&self, waits_for: Option<String>) {
        *self
            .waits_for
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = waits_for;
    }
}

impl Pages for Telemetry {
    fn metrics(&self) -> String {
        self.metrics.resident_bytes.set(resident_bytes());
        self.metrics.page()
    }

    fn ready(&self) -> Result<(), String> {
        let waits_for = self
            .waits_for
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        waits_for.clone().map_or(Ok(()), Err)
    }
}

/// `docs/operator-metrics.md`, as the file must have it.
#[must_use]
pub fn docs() -> String {
    let head = "# Metrics of the operator\n\n\
        Served in Prometheus' text format at `/metrics` on port 8080. Written from the table in\n\
        the source; a test fails when it is stale. What is of one cluster has its `namespace`\n\
        and `name`, and goes with it. The brokers' own are in [metrics.md](metrics.md).\n\n";
    ottla_telemetry::docs(head, Metrics::ROWS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_has_its_numbers_until_it_is_gone() {
        let telemetry = Telemetry::default();
        let key = |name: &str| ObjectKey {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
        };
        let took = Duration::from_millis(20);
        telemetry
            .metrics
            .stepped(&key("orders"), took, Some(State::Ready));
        telemetry
            .metrics
            .stepped(&key("orders"), took, Some(State::Stalled));
        telemetry
            .metrics
            .stepped(&key("bills"), took, Some(State::Ready));
        telemetry.metrics.rebalancing(&key("orders"), 40);
        let certificates = serde_json::json!([
            { "name": "ca", "expiresAt": "2030-01-01T00:00:00Z",
              "renewalDue": "2029-01-01T00:00:00Z" },
            { "name": "old", "expiresAt": "2030-01-02T00:00:00Z" },
            { "name": "brokers", "expiresAt": "2030-01-03T00:00:00Z",
              "renewalDue": "1970-01-01T00:01:00Z" },
        ]);
        let certificates: Vec<CertificateStatus> = serde_json::from_value(certificates).unwrap();
        telemetry.metrics.certified(&key("orders"), &certificates);
        let page = telemetry.metrics();
        let labels = "{namespace=\"shop\",name=\"orders\"}";
        for line in [
            format!("ottla_operator_cluster_ready{labels} 0"),
            format!("ottla_operator_reconcile_errors_total{labels} 1"),
            format!("ottla_operator_rebalance_partitions_left{labels} 40"),
            format!("ottla_operator_reconcile_seconds_count{labels} 2"),
            format!("ottla_operator_certificate_expiry_seconds{labels} 1893456000"),
            format!("ottla_operator_certificate_renewal_seconds{labels} 60"),
        ] {
            assert!(page.contains(&format!("\n{line}\n")), "{line} in {page}");
        }
        telemetry.metrics.forget(&key("orders"));
        let page = telemetry.metrics();
        assert!(!page.contains("orders"), "{page}");
        assert!(page.contains("name=\"bills\""), "{page}");
    }

    #[test]
    fn the_docs_are_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operator-metrics.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, docs()).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == docs(),
            "docs/operator-metrics.md is stale: run the test with UPDATE_DOCS=1"
        );
    }
}
