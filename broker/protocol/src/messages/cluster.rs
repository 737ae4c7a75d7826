//! Moving leaders and replicas; the quorum; features.

mod add_raft_voter;
mod alter_partition_reassignments;
mod describe_quorum;
mod elect_leaders;
mod list_partition_reassignments;
mod remove_raft_voter;
mod unregister_broker;
mod update_features;

pub use self::add_raft_voter::*;
pub use self::alter_partition_reassignments::*;
pub use self::describe_quorum::*;
pub use self::elect_leaders::*;
pub use self::list_partition_reassignments::*;
pub use self::remove_raft_voter::*;
pub use self::unregister_broker::*;
pub use self::update_features::*;
