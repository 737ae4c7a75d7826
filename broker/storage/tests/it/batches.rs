//! Record batches for tests.

use bytes::Bytes;

/// What a test says of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    pub base_offset: i64,
    pub records: i32,
    pub leader_epoch: i32,
    pub timestamp: i64,
    /// Bytes of each record's value.
    pub value_bytes: usize,
    pub fill: u8,
}

impl Default for Batch {
    fn default() -> Self {
        let (base_offset, leader_epoch, timestamp) = (0, 0, 1000);
        Self {
            base_offset,
            records: 1,
            leader_epoch,
            timestamp,
            value_bytes: 10,
            fill: 7,
        }
    }
}

fn varint(out: &mut Vec<u8>, value: i64) {
    let mut bits = ((value << 1) ^ (value >> 63)) as u64;
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

impl Batch {
    /// The batch's bytes; record n has timestamp `timestamp + n`.
    pub fn build(self) -> Bytes {
        let mut records = Vec::new();
        for n in 0..i64::from(self.records) {
            let mut record = vec![0];
            varint(&mut record, n);
            varint(&mut record, n);
            varint(&mut record, -1);
            varint(&mut record, self.value_bytes as i64);
            record.extend(std::iter::repeat_n(self.fill, self.value_bytes));
            varint(&mut record, 0);
            varint(&mut records, record.len() as i64);
            records.extend(record);
        }
        let last = i64::from(self.records) - 1;
        let mut covered = Vec::new();
        covered.extend(0_i16.to_be_bytes());
        covered.extend((last as i32).to_be_bytes());
        covered.extend(self.timestamp.to_be_bytes());
        covered.extend((self.timestamp + last).to_be_bytes());
        covered.extend((-1_i64).to_be_bytes());
        covered.extend((-1_i16).to_be_bytes());
        covered.extend((-1_i32).to_be_bytes());
        covered.extend(self.records.to_be_bytes());
        covered.extend(records);
        let mut bytes = Vec::new();
        bytes.extend(self.base_offset.to_be_bytes());
        bytes.extend(((covered.len() + 9) as i32).to_be_bytes());
        bytes.extend(self.leader_epoch.to_be_bytes());
        bytes.push(2);
        bytes.extend(crc32c::crc32c(&covered).to_be_bytes());
        bytes.extend(covered);
        bytes.into()
    }

    pub fn next_offset(self) -> i64 {
        self.base_offset + i64::from(self.records)
    }
}
