//! Configs that leaders and the controller must agree on, whatever each broker's file says.
//!
//! Who is eligible to lead follows from them (KIP-966): a leader that commits records alone, while
//! the controller believes that it needs two, would be followed by one that lacks them. So a broker
//! tells what its file sets when it registers, and of all files together the strictest holds,
//! everywhere. During a rolling restart from one value to another that is the stricter one.
//!
//! A version that tells nothing also goes by its own file, as leader and as controller, and drops
//! what others told from what it records. So while one broker has not told, nothing is agreed on,
//! and everybody goes by the own file, as that version does.

use super::ConfigMap;
use super::value::Value;

/// How many replicas must hold a record before acks=all is answered.
pub const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

/// Our own config: what an acknowledgement waits for.
pub const DURABILITY: &str = "ottla.durability";

/// The configs of a broker's file that it tells when it registers.
pub const AGREED: [&str; 2] = [MIN_INSYNC_REPLICAS, DURABILITY];

/// What the files of all brokers come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    /// What holds where nobody set it while brokers run.
    pub(super) configs: ConfigMap,
    /// Whether a file leaves min.insync.replicas to its default, so that it is not less than that.
    pub(super) is_default_least: bool,
}

impl Agreed {
    /// Of the files of all registered brokers; nothing where there is none, or one did not tell.
    pub fn of<'a>(files: impl Iterator<Item = Option<&'a ConfigMap>>) -> Option<Self> {
        let files: Vec<&ConfigMap> = files.collect::<Option<_>>()?;
        if files.is_empty() {
            return None;
        }
        let said = |name| files.iter().filter_map(move |file| file.get(name));
        let mut agreed = Self {
            is_default_least: said(MIN_INSYNC_REPLICAS).count() < files.len(),
            ..Self::default()
        };
        if let Some(most) = said(MIN_INSYNC_REPLICAS).max_by_key(|value| value.number()) {
            let name = MIN_INSYNC_REPLICAS.to_owned();
            agreed.configs.insert(name, most.clone());
        }
        if let Some(last) = said(DURABILITY).next_back() {
            let all = said(DURABILITY).filter(|value| value.has("Replicated"));
            let value = match all.count() == files.len() {
                true => last.clone(),
                false => Value::Text("Fsync".to_owned()),
            };
            agreed.configs.insert(DURABILITY.to_owned(), value);
        }
        Some(agreed)
    }
}
