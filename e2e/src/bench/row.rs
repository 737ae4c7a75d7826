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
    /// Records of a transaction; `None`: there are none. Latencies are those of transactions then.
    pub transaction_records: Option<u64>,
    /// Records of the measured run.
    pub records: u64,
    /// Records of a run before it that is not measured, for compilers and caches to warm up.
    pub warm_up_records: u64,
}

/// Bytes of every record's value.
pub const RECORD_BYTES: u64 = 1024;

/// Partitions of the topic.
pub const PARTITIONS: u32 = 12;

/// All rows, at the size that fits ten minutes with three alternations.
pub const ROWS: [Row; 4] = [
    Row {
        name: "rf1",
        title: "RF 1, acks=1, as fast as it goes",
        brokers: 1,
        acks: "1",
        records_per_second: -1,
        transaction_records: None,
        records: 1_000_000,
        warm_up_records: 300_000,
    },
    Row {
        name: "rf3",
        title: "RF 3, acks=all, as fast as it goes",
        brokers: 3,
        acks: "all",
        records_per_second: -1,
        transaction_records: None,
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
        transaction_records: None,
        records: 160_000,
        warm_up_records: 30_000,
    },
    Row {
        name: "rf3-transactions",
        title: "RF 3, transactions of 100 records, one after the other",
        brokers: 3,
        acks: "all",
        records_per_second: -1,
        transaction_records: Some(100),
        records: 100_000,
        warm_up_records: 20_000,
    },
];

impl Row {
    /// The row with so many times the records.
    #[must_use]
    pub fn longer(mut self, times: u64) -> Self {
        self.records *= times;
        self
    }

    /// Value bytes of the measured run, in GB (10⁹ bytes).
    #[must_use]
    pub fn gigabytes(&self) -> f64 {
        (self.records * RECORD_BYTES) as f64 / 1e9
    }
}
