//! The rows of the bench.

/// One setting in which both servers are measured.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name, for `ROW=name`.
    pub name: &'static str,
    /// What it is, for the page.
    pub title: &'static str,
    /// Brokers, and the replication factor.
    pub brokers: u16,
    /// The producer's `acks`.
    pub acks: &'static str,
    /// Records per second; -1 is as fast as it goes.
    pub records_per_second: i64,
    /// What the producers do.
    pub load: Load,
    /// Records of the measured run.
    pub records: u64,
    /// Records of a run before it that is not measured, for compilers and caches to warm up.
    pub warm_up_records: u64,
}

/// What the producers of a row do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// One produces as Kafka's ProducerPerformance does.
    Plain,
    /// The same over TLS 1.3; then once more without, on the same cluster, for what it costs.
    Encrypted,
    /// Connections begin by a full handshake of TLS 1.3, ask for ApiVersions and end, as many as
    /// there are records. Rate and latencies are those of connections.
    Handshakes,
    /// One commits transactions, one after the other. Latencies are those of transactions.
    Transactions {
        /// Records of each.
        records: u64,
    },
    /// As many transactional ids as there are records have a transaction open at the same time;
    /// then all commit. Latencies and rate are those of the commits.
    OpenIds,
}

/// Bytes of every record's value.
pub const RECORD_BYTES: u64 = 1024;

/// Partitions of the topic.
pub const PARTITIONS: u32 = 12;

/// All rows, at the size that fits ten minutes with three alternations.
pub const ROWS: [Row; 7] = [
    Row {
        name: "rf1",
        title: "RF 1, acks=1, as fast as it goes",
        brokers: 1,
        acks: "1",
        records_per_second: -1,
        load: Load::Plain,
        records: 1_000_000,
        warm_up_records: 300_000,
    },
    Row {
        name: "rf3",
        title: "RF 3, acks=all, as fast as it goes",
        brokers: 3,
        acks: "all",
        records_per_second: -1,
        load: Load::Plain,
        records: 500_000,
        warm_up_records: 100_000,
    },
    Row {
        name: "rf3-10mb",
        title: "RF 3, acks=all, 10 MB/s",
        brokers: 3,
        acks: "all",
        // 10 MB are 9,765 records of 1 KiB
        records_per_second: 9_765,
        load: Load::Plain,
        records: 160_000,
        warm_up_records: 30_000,
    },
    Row {
        name: "rf3-tls",
        title: "RF 3, acks=all, as fast as it goes, clients over TLS 1.3",
        brokers: 3,
        acks: "all",
        records_per_second: -1,
        load: Load::Encrypted,
        records: 500_000,
        warm_up_records: 100_000,
    },
    Row {
        name: "handshakes",
        title: "Connections that begin with a full handshake of TLS 1.3, by 16 clients at a time",
        brokers: 1,
        acks: "all",
        records_per_second: -1,
        load: Load::Handshakes,
        records: 5_000,
        warm_up_records: 2_000,
    },
    Row {
        name: "rf3-transactions",
        title: "RF 3, transactions of 100 records, one after the other",
        brokers: 3,
        acks: "all",
        records_per_second: -1,
        load: Load::Transactions { records: 100 },
        records: 100_000,
        warm_up_records: 20_000,
    },
    Row {
        name: "rf3-open-ids",
        title: "RF 3, 10,000 transactional ids with open transactions, committed by 64 clients",
        brokers: 3,
        acks: "all",
        records_per_second: -1,
        load: Load::OpenIds,
        records: 10_000,
        warm_up_records: 1_000,
    },
];

impl Row {
    /// The row with so many times the records, where their number is not what it is about.
    #[must_use]
    pub fn longer(mut self, times: u64) -> Self {
        if self.load != Load::OpenIds {
            self.records *= times;
        }
        self
    }

    /// Whether clients come by TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        matches!(self.load, Load::Encrypted | Load::Handshakes)
    }

    /// Value bytes of the measured run, in GB (10⁹ bytes).
    #[must_use]
    pub fn gigabytes(&self) -> f64 {
        (self.records * RECORD_BYTES) as f64 / 1e9
    }
}
