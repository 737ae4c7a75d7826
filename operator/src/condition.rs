//! Conditions: how a status says, in kstatus's words, what is and why.
//!
//! Every kind has an enum of reasons ([`ClusterReason`], [`TopicReason`], [`UserReason`]); each
//! reason knows whether it means ready, on the way, or stuck until somebody acts. A [`Verdict`] is
//! one reason with its sentence.
//!
//! What often mends itself (a node that is yet to come, a cluster that is applied after its topics)
//! is named at once, and Stalled only when it has kept an object from being Ready for as long as
//! its reason says: GitOps tools give up an object that is.
//!
//! Invariant: of Ready, Reconciling and Stalled exactly one is True.

use crate::crd::Condition;

/// What a reason means for whoever waits on the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// As the spec says.
    Ready,
    /// On the way; nobody needs to act.
    Reconciling,
    /// Stuck until somebody changes something.
    Stalled,
}

macro_rules! reasons {
    ($(#[$doc:meta])* $kind:ident {
        $($(#[doc = $text:literal])* $name:ident: $state:ident $(after $minutes:literal min)?,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $kind {
            $($(#[doc = $text])* $name,)*
        }

        impl $kind {
            /// All reasons, for the documentation.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word in a condition.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }

            /// The same in one sentence, for the documentation.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($text),*).trim_ascii()),* }
            }

            /// What it means.
            #[must_use]
            pub fn state(self) -> State {
                match self { $(Self::$name => State::$state),* }
            }

            /// For so many minutes of not being Ready it is Reconciling.
            #[must_use]
            pub fn patience_minutes(self) -> u32 {
                match self { $(Self::$name => 0 $(+ $minutes)?),* }
            }
        }

        impl From<$kind> for Reason {
            fn from(reason: $kind) -> Self {
                Self {
                    word: reason.word(),
                    state: reason.state(),
                    patience_minutes: reason.patience_minutes(),
                }
            }
        }
    };
}

/// A reason of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The word in a condition.
    pub word: &'static str,
    /// What it means.
    pub state: State,
    /// For so many minutes of not being Ready it is Reconciling.
    pub patience_minutes: u32,
}

reasons! {
    /// Why a KafkaCluster is, or is not, as its spec says.
    ClusterReason {
        /// All brokers serve.
        BrokersReady: Ready,
        /// Brokers are being started and have not all registered yet.
        BrokersStarting: Reconciling,
        /// Brokers are being restarted, one or a few that have nothing in common at a time.
        RollingRestart: Reconciling,
        /// Brokers that have just come get their share of the replicas.
        ScalingUp: Reconciling,
        /// Brokers that have less than their share of the replicas get it, because somebody asked.
        Rebalancing: Reconciling,
        /// Brokers that are to go hand their replicas over to those that stay.
        ScalingDown: Reconciling,
        /// Other nodes than before are to vote in the metadata quorum, one after the other.
        ChangingVoters: Reconciling,
        /// A broker or controller gets an empty volume in place of its own, because somebody asked.
        ReplacingBroker: Reconciling,
        /// A broker that served does not at the moment.
        BrokerNotReady: Reconciling,
        /// A dedicated controller is being started, or is not ready at the moment.
        ControllerNotReady: Reconciling,
        /// A change of settings is being given to the brokers.
        ConfigChanging: Reconciling,
        /// A change of the spec is being carried out.
        Applying: Reconciling,
        /// The brokers are being stopped, because the cluster is being deleted.
        Deleting: Reconciling,
        /// Changes wait for the annotation that consents to their plan.
        WaitingForApproval: Stalled,
        /// The spec contradicts itself.
        InvalidSpec: Stalled,
        /// Fewer brokers are wanted than the replicas of a topic need.
        ScaleDownRefused: Stalled,
        /// A broker's volume is not given up: that would lose what is nowhere else, or makes no
        /// sense.
        ReplacementRefused: Stalled,
        /// A Secret that a listener names is not there.
        SecretNotFound: Stalled,
        /// A certificate cannot be used; the one before stays where there is one.
        CertificateRefused: Stalled,
        /// A broker exits again and again.
        BrokerCrashLooping: Stalled,
        /// A broker cannot be placed on any node.
        BrokerUnschedulable: Stalled after 10 min,
        /// Kubernetes refuses to make a broker's pod or its volume claim.
        PodRefused: Stalled after 1 min,
        /// A broker's image cannot be pulled.
        ImagePullFailed: Stalled after 1 min,
        /// A broker's volume cannot be had.
        StorageUnavailable: Stalled after 10 min,
        /// A broker's volume cannot grow.
        VolumeCannotGrow: Stalled,
        /// Somebody else listens on a port that a broker needs.
        PortInUse: Stalled,
        /// The brokers refuse a setting.
        ConfigRefused: Stalled,
        /// Annotated to be left alone.
        Paused: Stalled,
        /// The brokers are of another cluster than before: volumes were lost or exchanged.
        InconsistentClusterId: Stalled,
        /// The Kubernetes API refuses one of the objects.
        ApplyFailed: Stalled,
    }
}

reasons! {
    /// Why a KafkaTopic is, or is not, as its spec says.
    TopicReason {
        /// The topic is as the spec says.
        TopicReady: Ready,
        /// The topic is being created or changed.
        Applying: Reconciling,
        /// Replicas are being copied to other brokers, or wait for their turn.
        Reassigning: Reconciling,
        /// Not all partitions have a leader yet.
        WaitingForLeaders: Reconciling,
        /// The cluster cannot be reached at the moment.
        ClusterNotReady: Reconciling,
        /// The topic is being deleted.
        Deleting: Reconciling,
        /// There is no such KafkaCluster.
        ClusterNotFound: Stalled after 10 min,
        /// The cluster's namespace does not admit topics of this one.
        NamespaceNotAdmitted: Stalled,
        /// An older KafkaTopic stands for the same topic.
        Conflict: Stalled,
        /// The name is not one that Kafka allows, or belongs to Kafka itself.
        InvalidName: Stalled,
        /// A field cannot be changed any more.
        ImmutableField: Stalled,
        /// The topic has more partitions than the spec wants.
        PartitionsDecreased: Stalled,
        /// More replicas are wanted than there are brokers.
        ReplicationFactorAboveBrokers: Stalled,
        /// The cluster refuses a config.
        ConfigRefused: Stalled,
        /// The cluster refuses the change.
        Refused: Stalled,
        /// The change waits for consent to the cluster's plan.
        WaitingForApproval: Stalled,
        /// Annotated to be left alone.
        Paused: Stalled,
    }
}

reasons! {
    /// Why a KafkaRebalance is done, or is not.
    RebalanceReason {
        /// Replicas are where the plan has them, or there was nothing to move.
        Rebalanced: Ready,
        /// A plan is being made, or waits for brokers that come or go.
        Proposing: Reconciling,
        /// The plan is being carried out, or has consent and waits for its turn.
        Rebalancing: Reconciling,
        /// The cluster cannot be reached at the moment.
        ClusterNotReady: Reconciling,
        /// The plan waits for the annotation that consents to it.
        WaitingForApproval: Stalled,
        /// Brokers that were to have no replicas keep some, which no other broker can take.
        ReplicasRemain: Stalled,
        /// Somebody has stopped it.
        Stopped: Stalled,
        /// There is no such KafkaCluster.
        ClusterNotFound: Stalled after 10 min,
        /// It is in another namespace than its cluster.
        NamespaceNotAdmitted: Stalled,
        /// The spec speaks of brokers that are not there, or cannot be understood.
        InvalidSpec: Stalled,
        /// The cluster refuses the change.
        Refused: Stalled,
        /// Annotated to be left alone.
        Paused: Stalled,
    }
}

reasons! {
    /// Why a KafkaUser is, or is not, as its spec says.
    UserReason {
        /// The user has its credentials and its rights.
        UserReady: Ready,
        /// The user is being created or changed.
        Applying: Reconciling,
        /// The cluster cannot be reached at the moment.
        ClusterNotReady: Reconciling,
        /// The user is being deleted.
        Deleting: Reconciling,
        /// There is no such KafkaCluster.
        ClusterNotFound: Stalled after 10 min,
        /// The cluster's namespace does not admit users of this one.
        NamespaceNotAdmitted: Stalled,
        /// An older KafkaUser has the same name.
        Conflict: Stalled,
        /// The spec contradicts itself.
        InvalidSpec: Stalled,
        /// No listener of the cluster asks for what the user shows.
        NoListener: Stalled,
        /// The Secret of the user cannot be read or written, or has what cannot be used.
        CredentialsRefused: Stalled,
        /// The cluster refuses the change.
        Refused: Stalled,
        /// Annotated to be left alone.
        Paused: Stalled,
    }
}

/// One reason with its sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Why.
    pub reason: Reason,
    /// The same as one sentence for people.
    pub message: String,
}

impl Verdict {
    /// A verdict.
    pub fn new(reason: impl Into<Reason>, message: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            message: message.into(),
        }
    }

    /// The worst of several; of equals the first.
    #[must_use]
    pub fn worst(verdicts: Vec<Self>) -> Option<Self> {
        verdicts
            .into_iter()
            .rev()
            .max_by_key(|verdict| verdict.reason.state)
    }
}

/// The three conditions that say `verdict`. What did not change keeps its transition time.
#[must_use]
pub fn conditions(
    observed: &[Condition],
    verdict: &Verdict,
    generation: i64,
    now: &str,
) -> Vec<Condition> {
    let state = state_now(observed, verdict.reason, now);
    [
        ("Ready", state == State::Ready),
        ("Reconciling", state == State::Reconciling),
        ("Stalled", state == State::Stalled),
    ]
    .into_iter()
    .map(|(type_, holds)| {
        let status = if holds { "True" } else { "False" };
        let word = verdict.reason.word;
        // A reason that is Reconciling for so long only is counted from when it was first said.
        let starts_anew = |c: &Condition| {
            type_ == "Reconciling" && verdict.reason.patience_minutes > 0 && c.reason != word
        };
        let since = observed
            .iter()
            .find(|c| c.type_ == type_ && c.status == status && !starts_anew(c))
            .map_or(now, |c| c.last_transition_time.as_str());
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: verdict.reason.word.to_owned(),
            message: verdict.message.clone(),
            last_transition_time: since.to_owned(),
            observed_generation: generation,
        }
    })
    .collect()
}

/// What a reason means for an object that has these conditions.
fn state_now(observed: &[Condition], reason: Reason, now: &str) -> State {
    let time = |text: &str| text.parse::<jiff::Timestamp>().ok();
    let holds = observed
        .iter()
        .find(|c| c.status == "True" && c.reason == reason.word);
    let minutes = match holds.map(|c| (c.type_.as_str(), time(&c.last_transition_time), time(now)))
    {
        Some(("Stalled", ..)) => return reason.state,
        Some(("Reconciling", Some(since), Some(now))) => now.duration_since(since).as_mins(),
        _ => 0,
    };
    if minutes < i64::from(reason.patience_minutes) {
        State::Reconciling
    } else {
        reason.state
    }
}

/// The reason and sentence that conditions speak of, where there are any.
#[must_use]
pub fn spoken(conditions: &[Condition]) -> Option<(&str, &str)> {
    let ready = conditions.iter().find(|c| c.type_ == "Ready")?;
    Some((&ready.reason, &ready.message))
}

/// What conditions amount to, where there are any.
#[must_use]
pub fn state(conditions: &[Condition]) -> Option<State> {
    let holds = conditions.iter().find(|c| c.status == "True")?;
    match holds.type_.as_str() {
        "Ready" => Some(State::Ready),
        "Reconciling" => Some(State::Reconciling),
        _ => Some(State::Stalled),
    }
}

/// The wall clock, as conditions write it.
#[must_use]
pub fn now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

#[cfg(test)]
mod tests;
