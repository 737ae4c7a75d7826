//! Who is measured: this build, Apache Kafka, or another build of ours.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::cluster::Server;

/// One of two that are measured in alternation.
#[derive(Clone, Debug)]
pub struct Contender {
    /// What the tables call it.
    pub name: &'static str,
    /// Whose brokers.
    pub server: Server,
    /// The folder of its `ottla-broker`, where that is not this build's.
    pub build: Option<PathBuf>,
}

impl Contender {
    /// This build.
    #[must_use]
    pub fn ours() -> Self {
        Self {
            name: "Ottla",
            server: Server::Ottla,
            build: None,
        }
    }

    /// Apache Kafka of the jars.
    #[must_use]
    pub fn apache() -> Self {
        Self {
            name: "Apache Kafka",
            server: Server::Apache,
            build: None,
        }
    }

    /// Another build of ours, to see what a change costs.
    ///
    /// # Errors
    /// There is no broker in that folder.
    pub fn other_build(folder: &Path) -> Result<Self> {
        let build = std::path::absolute(folder)?;
        let program = build.join("ottla-broker");
        ensure!(
            program.is_file(),
            "there is no {}: AGAINST names the folder of another build's ottla-broker",
            program.display()
        );
        Ok(Self {
            name: "other build",
            server: Server::Ottla,
            build: Some(build),
        })
    }
}

#[test]
fn a_folder_without_a_broker_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = Contender::other_build(folder.path()).unwrap_err();
    assert!(error.to_string().contains("ottla-broker: AGAINST names"));
}
