//! Real processes and real clients, for the end-to-end tests, the compatibility table and the
//! bench.
//!
//! # Layout
//! - [`setup`]: what `e2e/setup` fetched or built: jars, suites, binaries, folders.
//! - [`process`]: one child process: its log, its signals, its CPU time and memory.
//! - [`cluster`]: brokers as processes, ours or Apache Kafka's, from the same shape.
//! - [`authority`]: certificates for those clusters that want some.
//! - [`issuer`]: tokens that some brokers take.
//! - [`local`]: `ottla-operator local` as a process.
//! - [`kubernetes`]: kubectl, helm, pods, and a look at objects.
//! - [`client`]: kcat, Kafka's own command-line tools, and a load that verifies itself.
//! - [`figures`]: what tests measure, and the page it is written to.
//! - [`rotation`]: certificates that change under load, on Kubernetes and on this machine.
//! - [`suite`]: librdkafka's test suite and its table.
//! - [`kafka_suites`]: Apache Kafka's own tests and their table.
//! - [`proofs`]: exactly once, by clients we did not write.
//! - [`bench`](mod@bench): side by side with Apache Kafka.

#[path = "../../broker/tests/it/authority.rs"]
pub mod authority;
pub mod bench;
pub mod client;
pub mod cluster;
pub mod figures;
pub mod issuer;
pub mod kafka_suites;
pub mod kubernetes;
pub mod local;
pub mod process;
pub mod proofs;
pub mod rotation;
pub mod setup;
pub mod suite;
