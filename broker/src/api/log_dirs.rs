//! DescribeLogDirs.

use std::collections::BTreeMap;

use ottla_core::acl::Operation;
use ottla_core::placement::is_cordoned;
use ottla_protocol::error::ErrorCode;
use ottla_protocol::messages::log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};

use super::{Context, RequestContext};
use crate::replica::PartitionSize;

/// DescribeLogDirs: the one data directory.
pub async fn describe(
    context: &Context,
    request: &RequestContext,
    body: DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    if let Err(error) = context.access(request).cluster(Operation::Describe) {
        return DescribeLogDirsResponse {
            error_code: error.code(),
            ..DescribeLogDirsResponse::default()
        };
    }
    let directory = context.replicas.describe_log_dir().await;
    let is_wanted = |size: &PartitionSize| match &body.topics {
        None => true,
        Some(topics) => topics
            .iter()
            .any(|topic| topic.topic == *size.topic && topic.partitions.contains(&size.partition)),
    };
    let mut topics: BTreeMap<String, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    let mut used_bytes = 0;
    for size in &directory.partitions {
        used_bytes += size.size_bytes;
        if is_wanted(size) {
            let partitions = topics.entry(size.topic.to_string()).or_default();
            partitions.push(DescribeLogDirsPartition {
                partition_index: size.partition,
                partition_size: size.size_bytes,
                offset_lag: size.offset_lag,
                is_future_key: false,
            });
        }
    }
    let error = match directory.is_offline {
        true => ErrorCode::KafkaStorageError,
        false => ErrorCode::None,
    };
    let topic = |(name, mut partitions): (String, Vec<DescribeLogDirsPartition>)| {
        partitions.sort_by_key(|partition| partition.partition_index);
        DescribeLogDirsTopic { name, partitions }
    };
    let usable_bytes = directory.usable_bytes;
    DescribeLogDirsResponse {
        results: vec![DescribeLogDirsResult {
            error_code: error.code(),
            log_dir: directory.path.display().to_string(),
            topics: topics.into_iter().map(topic).collect(),
            // what others on the file system use is nobody's business of ours
            total_bytes: if usable_bytes < 0 {
                -1
            } else {
                usable_bytes + used_bytes
            },
            usable_bytes,
            is_cordoned: is_cordoned(&context.controller.image(), context.controller.node_id()),
        }],
        ..DescribeLogDirsResponse::default()
    }
}
