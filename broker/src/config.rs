//! A broker's settings from a file; what they are and mean is [`ottla_core::config`].

use std::path::Path;

use ottla_core::config::settings::{self, properties};
pub use ottla_core::config::settings::{Listener, Settings, Voter};

/// Why a file gives no settings: one sentence, naming what, where and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not to be read.
    #[error("cannot read {path}: {error}; give --config a properties file that this user may read")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// A value refers to an environment variable that is not set.
    #[error("{path}: the environment has no variable {name}; set it or write the value itself")]
    NoVariable {
        /// The file.
        path: String,
        /// The variable.
        name: String,
    },
    /// What the file says is refused.
    #[error(transparent)]
    Refused(#[from] settings::Error),
}

/// Reads and validates the file at `path`.
///
/// # Errors
/// The first thing wrong, as [`Error`] tells it.
pub fn read(path: &Path) -> Result<Settings, Error> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| Error::Unreadable {
        path: shown.clone(),
        error,
    })?;
    let expanded = properties::expand(&text, |name| std::env::var(name).ok());
    let text = expanded.map_err(|name| Error::NoVariable {
        path: shown.clone(),
        name,
    })?;
    Ok(Settings::from_properties(&shown, &text)?)
}
