//! Settings that a broker takes while it runs, for itself or for all brokers. What gives the
//! default of topics is with the topics' configs.

use crate::config::Bounds::{Any, AtLeast, Between};
use crate::config::Effect::{self, AcceptedWithoutEffect, Applied};

const BY_FOLLOWER: Effect =
    AcceptedWithoutEffect("followers keep to a rate: see follower.replication.throttled.rate");
const ONE_DIRECTORY: Effect = AcceptedWithoutEffect("a broker has one log directory");
const THREADS: Effect =
    AcceptedWithoutEffect("tasks are spread over as many threads as there are cores");
const NO_KERBEROS: Effect = AcceptedWithoutEffect("no listener authenticates by Kerberos");
const NO_LOGIN: Effect = AcceptedWithoutEffect("brokers hold no login that expires");
const FILLED: Effect = AcceptedWithoutEffect("the memory for keys is always filled to nine tenths");
const ONE_CLEANER: Effect = AcceptedWithoutEffect("one thread compacts");

keys! {
    "background.threads" Int "10" AtLeast(1),
        Broker Dynamic [] THREADS,
        "Threads for chores in the background.";
    "cordoned.log.dirs" List "" Any,
        Broker Dynamic [] Applied,
        "Set on a broker while it runs, to * or its log directory: it gets no new replicas.";
    "follower.replication.throttled.rate" Long "9223372036854775807" AtLeast(0),
        Broker Dynamic [] Applied,
        "Bytes a second that this broker copies at most of replicas that a reassignment adds, and \
         of those in follower.replication.throttled.replicas, until they are in sync.";
    "leader.replication.throttled.rate" Long "9223372036854775807" AtLeast(0),
        Broker Dynamic [] BY_FOLLOWER,
        "Bytes a second that this broker serves of throttled replicas.";
    "log.cleaner.backoff.ms" Long "15000" AtLeast(0),
        Broker Dynamic [] Applied,
        "How long compaction rests before it looks again for logs that are due.";
    "log.cleaner.dedupe.buffer.size" Long "16777216" AtLeast(1024),
        Broker Dynamic [] Applied,
        "Memory for the keys that compaction has seen, 24 bytes each; a log with more keys is \
         compacted in several rounds.";
    "log.cleaner.io.buffer.load.factor" Double "0.9" Between(0, 1),
        Broker Dynamic [] FILLED,
        "How full the memory for keys may get.";
    "log.cleaner.io.buffer.size" Int "524288" AtLeast(0),
        Broker Dynamic [] Applied,
        "How much compaction reads or writes at a time.";
    "log.cleaner.io.max.bytes.per.second" Double "1.7976931348623157E308" AtLeast(1),
        Broker Dynamic [] Applied,
        "Bytes a second that compaction reads and writes at most.";
    "log.cleaner.threads" Int "1" AtLeast(1),
        Broker Dynamic [] ONE_CLEANER,
        "Threads that compact logs.";
    "num.io.threads" Int "8" AtLeast(1),
        Broker Dynamic [] THREADS,
        "Threads that carry out requests.";
    "num.recovery.threads.per.data.dir" Int "2" AtLeast(1),
        Broker Dynamic [] THREADS,
        "Threads that open logs at the start.";
    "num.replica.fetchers" Int "1" AtLeast(1),
        Broker Dynamic [] THREADS,
        "Threads that fetch from each other broker.";
    "ottla.drain" Boolean "false" Any,
        Broker Dynamic [] Applied,
        "Whether this broker gives its leaderships to others and gets none, until it restarts. For \
         one broker that runs: neither for all, nor in its file.";
    "replica.alter.log.dirs.io.max.bytes.per.second" Long "9223372036854775807" AtLeast(0),
        Broker Dynamic [] ONE_DIRECTORY,
        "Bytes a second that move between a broker's log directories.";
    "sasl.kerberos.kinit.cmd" String "/usr/bin/kinit" Any,
        Broker Dynamic [] NO_KERBEROS,
        "The command that gets a Kerberos ticket.";
    "sasl.kerberos.min.time.before.relogin" Long "60000" AtLeast(0),
        Broker Dynamic [] NO_KERBEROS,
        "How long lies at least between two Kerberos logins.";
    "sasl.kerberos.service.name" String "" Any,
        Broker Dynamic [] NO_KERBEROS,
        "The Kerberos name of the service.";
    "sasl.kerberos.ticket.renew.jitter" Double "0.05" Between(0, 1),
        Broker Dynamic [] NO_KERBEROS,
        "By which share the renewal of a ticket is shifted at random.";
    "sasl.kerberos.ticket.renew.window.factor" Double "0.8" Between(0, 1),
        Broker Dynamic [] NO_KERBEROS,
        "At which share of its life a ticket is renewed.";
    "sasl.login.refresh.buffer.seconds" Int "300" AtLeast(0),
        Broker Dynamic [] NO_LOGIN,
        "How long before its end at the latest a login is refreshed.";
    "sasl.login.refresh.min.period.seconds" Int "60" AtLeast(0),
        Broker Dynamic [] NO_LOGIN,
        "How long a login is kept at least.";
    "sasl.login.refresh.window.factor" Double "0.8" Between(0, 1),
        Broker Dynamic [] NO_LOGIN,
        "At which share of its life a login is refreshed.";
    "sasl.login.refresh.window.jitter" Double "0.05" Between(0, 1),
        Broker Dynamic [] NO_LOGIN,
        "By which share the refresh of a login is shifted at random.";
    "transaction.partition.verification.enable" Boolean "true" Any,
        Broker Dynamic [] Applied,
        "Whether a partition takes the first batch of a transaction only after its coordinator \
         was asked.";
}
