//! What these brokers answer.

use ottla_protocol::codec::Request;
use ottla_protocol::messages::access::{
    AlterClientQuotasRequest, AlterUserScramCredentialsRequest, CreateAclsRequest,
    DeleteAclsRequest, DescribeAclsRequest, DescribeClientQuotasRequest,
    DescribeUserScramCredentialsRequest,
};
use ottla_protocol::messages::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use ottla_protocol::messages::cluster::{
    AddRaftVoterRequest, AlterPartitionReassignmentsRequest, DescribeQuorumRequest,
    ListPartitionReassignmentsRequest, RemoveRaftVoterRequest, UnregisterBrokerRequest,
};
use ottla_protocol::messages::configs::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use ottla_protocol::messages::log_dirs::DescribeLogDirsRequest;
use ottla_protocol::messages::metadata::{DescribeClusterRequest, MetadataRequest};
use ottla_protocol::messages::topics::{CreateTopicsRequest, DeleteTopicsRequest};

pub(super) fn versions() -> ApiVersionsResponse {
    fn of<R: Request>() -> ApiVersion {
        ApiVersion {
            api_key: R::KEY.key(),
            min_version: *R::VERSIONS.start(),
            max_version: *R::VERSIONS.end(),
        }
    }
    ApiVersionsResponse {
        api_keys: vec![
            of::<ApiVersionsRequest>(),
            of::<MetadataRequest>(),
            of::<CreateTopicsRequest>(),
            of::<DeleteTopicsRequest>(),
            of::<DescribeConfigsRequest>(),
            of::<DescribeClusterRequest>(),
            of::<DescribeLogDirsRequest>(),
            of::<IncrementalAlterConfigsRequest>(),
            of::<UnregisterBrokerRequest>(),
            of::<DescribeQuorumRequest>(),
            of::<AddRaftVoterRequest>(),
            of::<RemoveRaftVoterRequest>(),
            of::<ListPartitionReassignmentsRequest>(),
            of::<AlterPartitionReassignmentsRequest>(),
            of::<DescribeClientQuotasRequest>(),
            of::<AlterClientQuotasRequest>(),
            of::<CreateAclsRequest>(),
            of::<DeleteAclsRequest>(),
            of::<DescribeAclsRequest>(),
            of::<DescribeUserScramCredentialsRequest>(),
            of::<AlterUserScramCredentialsRequest>(),
        ],
        ..ApiVersionsResponse::default()
    }
}
