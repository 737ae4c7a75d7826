//! What a leader checks before it appends, in Kafka's order and with Kafka's errors. The records
//! themselves stay compressed.

use super::{ATTRIBUTES_AT, Error, Header, RecordBatch, TimestampType};

/// Whether the batch's bytes are those that were written.
pub fn check_crc(batch: &RecordBatch<'_>) -> Result<(), Error> {
    let declared = batch.header.crc;
    let computed = crc32c::crc32c(batch.bytes.get(ATTRIBUTES_AT..).unwrap_or_default());
    if declared == computed {
        Ok(())
    } else {
        Err(Error::Corrupt { declared, computed })
    }
}

/// Checks the records that a client produces to one partition: one batch of format 2, whole and
/// consistent.
pub fn validate_produced(records: &[u8]) -> Result<Header, Error> {
    let batch = RecordBatch::first(records)?;
    if batch.bytes.len() != records.len() {
        return Err(Error::NotOneBatch);
    }
    let header = batch.header;
    header.compression()?;
    if header.base_offset.0 != 0 {
        return Err(Error::Inconsistent(
            "the base offset of a produced batch is not 0",
        ));
    }
    check_crc(&batch)?;
    let rule = |holds: bool, otherwise| {
        if holds {
            Ok(())
        } else {
            Err(Error::Inconsistent(otherwise))
        }
    };
    rule(
        header.last_offset_delta >= 0,
        "the last offset lies before the first",
    )?;
    rule(header.records_count > 0, "the batch has no records")?;
    rule(
        i64::from(header.records_count) == i64::from(header.last_offset_delta) + 1,
        "the count of records is not the range of offsets",
    )?;
    rule(
        !header.is_control(),
        "clients may not write control records",
    )?;
    rule(
        header.delete_horizon().is_none(),
        "clients may not set a delete horizon",
    )?;
    if header.timestamp_type() == TimestampType::LogAppendTime {
        return Err(Error::TimestampType);
    }
    rule(
        !header.has_producer_id() || header.base_sequence.0 >= 0,
        "a producer id without a sequence",
    )?;
    Ok(header)
}
