//! What a node serves on the listener of controllers (KIP-919): what changes the metadata and what
//! is asked of the quorum, and nothing that needs partitions.

use ottla_protocol::api::ApiKey;
use ottla_protocol::messages::metadata::DescribeClusterBroker;

use super::Context;

/// Those of Kafka's APIs for controllers that clients use. What a login takes is not among them:
/// nodes know one another by certificates there, and so are clients known.
const SERVED: &[ApiKey] = &[
    ApiKey::ApiVersions,
    ApiKey::CreateTopics,
    ApiKey::DeleteTopics,
    ApiKey::DescribeAcls,
    ApiKey::CreateAcls,
    ApiKey::DeleteAcls,
    ApiKey::DescribeConfigs,
    ApiKey::AlterConfigs,
    ApiKey::CreatePartitions,
    ApiKey::CreateDelegationToken,
    ApiKey::RenewDelegationToken,
    ApiKey::ExpireDelegationToken,
    ApiKey::DescribeDelegationToken,
    ApiKey::ElectLeaders,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::AlterPartitionReassignments,
    ApiKey::ListPartitionReassignments,
    ApiKey::AlterClientQuotas,
    ApiKey::DescribeUserScramCredentials,
    ApiKey::AlterUserScramCredentials,
    ApiKey::DescribeQuorum,
    ApiKey::UpdateFeatures,
    ApiKey::DescribeCluster,
    ApiKey::UnregisterBroker,
    ApiKey::AddRaftVoter,
    ApiKey::RemoveRaftVoter,
];

/// Whether controllers serve that API.
pub(super) fn serve(api: ApiKey) -> bool {
    SERVED.contains(&api)
}

/// The controllers, as DescribeCluster tells of them: the voters, and those that are no brokers.
pub(super) fn listed(context: &Context) -> Vec<DescribeClusterBroker> {
    let image = context.controller.image();
    let mut addresses = context.controller.voters();
    for (node, controller) in image.controllers.iter() {
        let peer = &controller.peer;
        let address = format!("{}:{}", peer.host, peer.port);
        addresses.entry(*node).or_insert(address);
    }
    let told = addresses.into_iter().filter_map(|(node, address)| {
        let (host, port) = address.rsplit_once(':')?;
        Some(DescribeClusterBroker {
            broker_id: node.0,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: port.parse().ok()?,
            ..DescribeClusterBroker::default()
        })
    });
    told.collect()
}
