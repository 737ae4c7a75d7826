//! Broker configs that change without a restart, for one broker or for all.
//!
//! Most are the broker's defaults of topic configs, which the topic table names as synonyms. What a
//! broker's file may say besides is the broker's own table of settings, and needs a restart.

use super::topic::TOPIC_CONFIGS;
use super::{Bounds, Effect, InvalidValue, Key, Kind};
use crate::image::ConfigMap;

const THROTTLE: Effect = Effect::AcceptedWithoutEffect("replication is not throttled");
const THREADS: Effect =
    Effect::AcceptedWithoutEffect("tasks are spread over as many threads as there are cores");

const NO_KERBEROS: Effect = Effect::AcceptedWithoutEffect("no listener authenticates by Kerberos");
const NO_LOGIN: Effect = Effect::AcceptedWithoutEffect("brokers hold no login that expires");
const FILLED: Effect =
    Effect::AcceptedWithoutEffect("the memory for keys is always filled to nine tenths");
const ONE_CLEANER: Effect = Effect::AcceptedWithoutEffect("one thread compacts");

macro_rules! keys {
    ($($name:literal $kind:ident $default:literal $low:literal $effect:expr, $doc:literal;)*) => {
        /// Dynamic broker configs that are no default of a topic config, by name, in order.
        pub static BROKER_CONFIGS: &[Key] = &[$(Key {
            name: $name,
            kind: Kind::$kind,
            default: $default,
            bounds: Bounds::AtLeast($low),
            effect: $effect,
            synonyms: &[],
            doc: $doc,
        }),*];
    };
}

keys! {
    "background.threads" Int "10" 1 THREADS, "Threads for chores in the background.";
    "follower.replication.throttled.rate" Long "9223372036854775807" 0 THROTTLE,
        "Bytes a second that this broker fetches of throttled replicas.";
    "leader.replication.throttled.rate" Long "9223372036854775807" 0 THROTTLE,
        "Bytes a second that this broker serves of throttled replicas.";
    "log.cleaner.backoff.ms" Long "15000" 0 Effect::Applied,
        "How long compaction rests before it looks again for logs that are due.";
    "log.cleaner.dedupe.buffer.size" Long "16777216" 1024 Effect::Applied,
        "Memory for the keys that compaction has seen, 24 bytes each; a log with more keys is \
         compacted in several rounds.";
    "log.cleaner.io.buffer.load.factor" Double "0.9" 0 FILLED,
        "How full the memory for keys may get.";
    "log.cleaner.io.buffer.size" Int "524288" 0 Effect::Applied,
        "How much compaction reads or writes at a time.";
    "log.cleaner.io.max.bytes.per.second" Double "1.7976931348623157E308" 1 Effect::Applied,
        "Bytes a second that compaction reads and writes at most.";
    "log.cleaner.threads" Int "1" 1 ONE_CLEANER, "Threads that compact logs.";
    "num.io.threads" Int "8" 1 THREADS, "Threads that carry out requests.";
    "num.network.threads" Int "3" 1 THREADS, "Threads that read and write connections.";
    "num.recovery.threads.per.data.dir" Int "2" 1 THREADS, "Threads that open logs at the start.";
    "num.replica.fetchers" Int "1" 1 THREADS, "Threads that fetch from each other broker.";
    "replica.alter.log.dirs.io.max.bytes.per.second" Long "9223372036854775807" 0 THROTTLE,
        "Bytes a second that move between a broker's log directories.";
    "sasl.kerberos.kinit.cmd" String "/usr/bin/kinit" 0 NO_KERBEROS,
        "The command that gets a Kerberos ticket.";
    "sasl.kerberos.min.time.before.relogin" Long "60000" 0 NO_KERBEROS,
        "How long lies at least between two Kerberos logins.";
    "sasl.kerberos.service.name" String "" 0 NO_KERBEROS, "The Kerberos name of the service.";
    "sasl.kerberos.ticket.renew.jitter" Double "0.05" 0 NO_KERBEROS,
        "By which share the renewal of a ticket is shifted at random.";
    "sasl.kerberos.ticket.renew.window.factor" Double "0.8" 0 NO_KERBEROS,
        "At which share of its life a ticket is renewed.";
    "sasl.login.refresh.buffer.seconds" Int "300" 0 NO_LOGIN,
        "How long before its end at the latest a login is refreshed.";
    "sasl.login.refresh.min.period.seconds" Int "60" 0 NO_LOGIN,
        "How long a login is kept at least.";
    "sasl.login.refresh.window.factor" Double "0.8" 0 NO_LOGIN,
        "At which share of its life a login is refreshed.";
    "sasl.login.refresh.window.jitter" Double "0.05" 0 NO_LOGIN,
        "By which share the refresh of a login is shifted at random.";
}

/// What is known of a dynamic broker config.
#[derive(Clone, Copy, Debug)]
pub enum Dynamic {
    /// A broker's own.
    Own(&'static Key),
    /// The default of a topic config.
    TopicDefault(&'static Key),
}

/// Finds a dynamic broker config.
pub fn find(name: &str) -> Option<Dynamic> {
    if let Some(key) = super::find(BROKER_CONFIGS, name) {
        return Some(Dynamic::Own(key));
    }
    // only the strongest synonym is dynamic: hours and minutes are for files
    let key = TOPIC_CONFIGS.iter();
    let mut first = key.filter(|key| key.synonyms.first().is_some_and(|s| s.name == name));
    first.next().map(Dynamic::TopicDefault)
}

/// Whether the name is a server property that gives the default of a topic config, dynamic or not.
pub fn topic_default(name: &str) -> Option<(&'static Key, i64)> {
    TOPIC_CONFIGS.iter().find_map(|key| {
        let mut synonyms = key.synonyms.iter();
        let synonym = synonyms.find(|s| s.name == name)?;
        Some((key, synonym.scale))
    })
}

/// Checks the value of a server property that gives the default of a topic config.
pub fn validate_topic_default(name: &str, text: &str) -> Result<(), InvalidValue> {
    let Some((key, scale)) = topic_default(name) else {
        return Ok(());
    };
    let renamed = |mut invalid: InvalidValue| {
        invalid.name = name.to_owned();
        invalid
    };
    if scale == 1 {
        return key.validate(text).map_err(renamed);
    }
    let scaled = super::effective::scaled(text, scale).unwrap_or_else(|| text.to_owned());
    key.validate(&scaled).map_err(|mut invalid| {
        invalid.value = text.to_owned();
        renamed(invalid)
    })
}

/// Why dynamic broker configs cannot stand; `None` where they can.
pub fn conflict(configs: &ConfigMap) -> Option<String> {
    configs.iter().find_map(|(name, value)| match find(name) {
        Some(Dynamic::Own(key)) => key.validate(value).err().map(|e| e.to_string()),
        Some(Dynamic::TopicDefault(_)) => {
            let checked = validate_topic_default(name, value);
            checked.err().map(|e| e.to_string())
        }
        None => Some(format!(
            "Cannot update these configs dynamically: Set({name})"
        )),
    })
}
