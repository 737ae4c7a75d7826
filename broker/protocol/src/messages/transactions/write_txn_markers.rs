//! WriteTxnMarkers: the request and its answer.

use crate::codec::Kafka;

/// Writes the markers that end transactions.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(
    key = WriteTxnMarkers,
    versions = "1-2",
    flexible = "1+",
    response = WriteTxnMarkersResponse
)]
pub struct WriteTxnMarkersRequest {
    pub markers: Vec<WritableTxnMarker>,
}

/// One entry of [`WriteTxnMarkersRequest::markers`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct WritableTxnMarker {
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub transaction_result: bool,
    pub topics: Vec<WritableTxnMarkerTopic>,
    pub coordinator_epoch: i32,
    #[kafka(versions = "2+", ignorable)]
    pub transaction_version: i8,
}

/// One entry of [`WritableTxnMarker::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct WritableTxnMarkerTopic {
    pub name: String,
    pub partition_indexes: Vec<i32>,
}

/// What became of each marker.
#[derive(Clone, Debug, PartialEq, Kafka)]
#[kafka(versions = "1-2", flexible = "1+")]
pub struct WriteTxnMarkersResponse {
    pub markers: Vec<WritableTxnMarkerResult>,
}

/// One entry of [`WriteTxnMarkersResponse::markers`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct WritableTxnMarkerResult {
    pub producer_id: i64,
    pub topics: Vec<WritableTxnMarkerTopicResult>,
}

/// One entry of [`WritableTxnMarkerResult::topics`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct WritableTxnMarkerTopicResult {
    pub name: String,
    pub partitions: Vec<WritableTxnMarkerPartitionResult>,
}

/// One entry of [`WritableTxnMarkerTopicResult::partitions`].
#[derive(Clone, Debug, PartialEq, Kafka)]
pub struct WritableTxnMarkerPartitionResult {
    pub partition_index: i32,
    pub error_code: i16,
}
