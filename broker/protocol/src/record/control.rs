//! Control records: what the log says about itself, to brokers and not to consumers.

/// The record of a control batch that ends a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlRecord {
    /// The transaction's records never happened.
    Abort {
        /// The epoch of the coordinator that wrote it.
        coordinator_epoch: i32,
    },
    /// The transaction's records count.
    Commit {
        /// The epoch of the coordinator that wrote it.
        coordinator_epoch: i32,
    },
}

const VERSION: [u8; 2] = [0, 0];

impl ControlRecord {
    /// Its key: version and type.
    #[must_use]
    pub fn key(&self) -> [u8; 4] {
        let kind = match self {
            Self::Abort { .. } => 0,
            Self::Commit { .. } => 1,
        };
        [VERSION[0], VERSION[1], 0, kind]
    }

    /// Its value: version and coordinator epoch.
    #[must_use]
    pub fn value(&self) -> [u8; 6] {
        let (Self::Abort { coordinator_epoch } | Self::Commit { coordinator_epoch }) = self;
        let [a, b, c, d] = coordinator_epoch.to_be_bytes();
        [VERSION[0], VERSION[1], a, b, c, d]
    }

    /// The marker that a key and value say; none where they are of another kind of control record.
    #[must_use]
    pub fn read(key: &[u8], value: &[u8]) -> Option<Self> {
        let [_, _, 0, kind, ..] = key else {
            return None;
        };
        let [_, _, a, b, c, d, ..] = value else {
            return None;
        };
        let coordinator_epoch = i32::from_be_bytes([*a, *b, *c, *d]);
        match kind {
            0 => Some(Self::Abort { coordinator_epoch }),
            1 => Some(Self::Commit { coordinator_epoch }),
            _ => None,
        }
    }
}
