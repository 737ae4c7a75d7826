//! The table of Kafka's APIs: their keys, and the versions that Apache Kafka 4.3.1 answers.
//!
//! What a broker advertises is the part of this table that it serves. Kafka's APIs between its own
//! brokers and controllers are not here: ours speak to each other on another port.

use std::ops::RangeInclusive;

macro_rules! apis {
    ($($name:ident = $key:literal, $first:literal, $last:literal, $flexible:expr;)*) => {
        /// An API, by the key that stands in a request's header.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        #[allow(missing_docs, reason = "the names are Kafka's and say what is asked")]
        pub enum ApiKey {
            $($name = $key,)*
        }

        impl ApiKey {
            /// All APIs, in ascending order of their keys.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The API of `key`.
            #[must_use]
            pub const fn from_key(key: i16) -> Option<Self> {
                match key {
                    $($key => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Kafka's name for it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// The versions that Apache Kafka 4.3.1 advertises. Produce starts at 0 because
            /// librdkafka looks for that (KAFKA-18659), yet versions 0 to 2 are refused.
            #[must_use]
            pub const fn versions(self) -> RangeInclusive<i16> {
                match self {
                    $(Self::$name => $first..=$last,)*
                }
            }

            /// The first version whose request is flexible; `i16::MAX` where none is.
            #[must_use]
            pub const fn flexible(self) -> i16 {
                match self {
                    $(Self::$name => $flexible,)*
                }
            }
        }
    };
}

apis! {
    Produce = 0, 0, 13, 9;
    Fetch = 1, 4, 18, 12;
    ListOffsets = 2, 1, 11, 6;
    Metadata = 3, 0, 13, 9;
    OffsetCommit = 8, 2, 10, 8;
    OffsetFetch = 9, 1, 10, 6;
    FindCoordinator = 10, 0, 6, 3;
    JoinGroup = 11, 0, 9, 6;
    Heartbeat = 12, 0, 4, 4;
    LeaveGroup = 13, 0, 5, 4;
    SyncGroup = 14, 0, 5, 4;
    DescribeGroups = 15, 0, 6, 5;
    ListGroups = 16, 0, 5, 3;
    SaslHandshake = 17, 0, 1, i16::MAX;
    ApiVersions = 18, 0, 4, 3;
    CreateTopics = 19, 2, 7, 5;
    DeleteTopics = 20, 1, 6, 4;
    DeleteRecords = 21, 0, 2, 2;
    InitProducerId = 22, 0, 5, 2;
    OffsetForLeaderEpoch = 23, 2, 4, 4;
    AddPartitionsToTxn = 24, 0, 5, 3;
    AddOffsetsToTxn = 25, 0, 4, 3;
    EndTxn = 26, 0, 5, 3;
    WriteTxnMarkers = 27, 1, 2, 1;
    TxnOffsetCommit = 28, 0, 5, 3;
    DescribeAcls = 29, 1, 3, 2;
    CreateAcls = 30, 1, 3, 2;
    DeleteAcls = 31, 1, 3, 2;
    DescribeConfigs = 32, 1, 4, 4;
    AlterConfigs = 33, 0, 2, 2;
    AlterReplicaLogDirs = 34, 1, 2, 2;
    DescribeLogDirs = 35, 1, 5, 2;
    SaslAuthenticate = 36, 0, 2, 2;
    CreatePartitions = 37, 0, 3, 2;
    CreateDelegationToken = 38, 1, 3, 2;
    RenewDelegationToken = 39, 1, 2, 2;
    ExpireDelegationToken = 40, 1, 2, 2;
    DescribeDelegationToken = 41, 1, 3, 2;
    DeleteGroups = 42, 0, 2, 2;
    ElectLeaders = 43, 0, 2, 2;
    IncrementalAlterConfigs = 44, 0, 1, 1;
    AlterPartitionReassignments = 45, 0, 1, 0;
    ListPartitionReassignments = 46, 0, 0, 0;
    OffsetDelete = 47, 0, 0, i16::MAX;
    DescribeClientQuotas = 48, 0, 1, 1;
    AlterClientQuotas = 49, 0, 1, 1;
    DescribeUserScramCredentials = 50, 0, 0, 0;
    AlterUserScramCredentials = 51, 0, 0, 0;
    DescribeQuorum = 55, 0, 2, 0;
    UpdateFeatures = 57, 0, 2, 0;
    DescribeCluster = 60, 0, 2, 0;
    DescribeProducers = 61, 0, 0, 0;
    UnregisterBroker = 64, 0, 0, 0;
    DescribeTransactions = 65, 0, 0, 0;
    ListTransactions = 66, 0, 2, 0;
    ConsumerGroupHeartbeat = 68, 0, 1, 0;
    ConsumerGroupDescribe = 69, 0, 1, 0;
    GetTelemetrySubscriptions = 71, 0, 0, 0;
    PushTelemetry = 72, 0, 0, 0;
    ListConfigResources = 74, 0, 1, 0;
    DescribeTopicPartitions = 75, 0, 0, 0;
    ShareGroupHeartbeat = 76, 1, 1, 0;
    ShareGroupDescribe = 77, 1, 1, 0;
    ShareFetch = 78, 1, 2, 0;
    ShareAcknowledge = 79, 1, 2, 0;
    AddRaftVoter = 80, 0, 1, 0;
    RemoveRaftVoter = 81, 0, 0, 0;
    InitializeShareGroupState = 83, 0, 0, 0;
    ReadShareGroupState = 84, 0, 0, 0;
    WriteShareGroupState = 85, 0, 1, 0;
    DeleteShareGroupState = 86, 0, 0, 0;
    ReadShareGroupStateSummary = 87, 0, 1, 0;
    StreamsGroupHeartbeat = 88, 0, 0, 0;
    StreamsGroupDescribe = 89, 0, 0, 0;
    DescribeShareGroupOffsets = 90, 0, 1, 0;
    AlterShareGroupOffsets = 91, 0, 0, 0;
    DeleteShareGroupOffsets = 92, 0, 0, 0;
}

impl ApiKey {
    /// The number on the wire.
    #[must_use]
    pub const fn key(self) -> i16 {
        self as i16
    }

    /// The version of the header before a request of `version`.
    #[must_use]
    pub const fn request_header_version(self, version: i16) -> i16 {
        if version >= self.flexible() { 2 } else { 1 }
    }

    /// The version of the header before the answer to a request of `version`. The answer to
    /// ApiVersions has the old one always: its reader does not know yet what the broker speaks.
    #[must_use]
    pub const fn response_header_version(self, version: i16) -> i16 {
        if version >= self.flexible() && !matches!(self, Self::ApiVersions) {
            1
        } else {
            0
        }
    }
}

impl std::fmt::Display for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
