//! The certificates of a cluster, in files, and the listener that has them.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Shape;
use crate::authority::Authority;
use crate::setup;

/// The listener that encrypts.
const LISTENER: &str = "SECURE";

/// A folder of what a cluster and its clients need: `broker.pem`, `ca.pem`.
pub struct Certificates {
    dir: PathBuf,
    authority: Authority,
}

impl Certificates {
    /// By an authority of their own.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn make(name: &str) -> Result<Self> {
        let dir = setup::scratch(name);
        let authority = Authority::new("Ottla e2e CA");
        std::fs::write(dir.join("broker.pem"), authority.server("broker"))?;
        std::fs::write(dir.join("ca.pem"), authority.pem())?;
        Ok(Self { dir, authority })
    }

    /// Adds that of a client, and its key, as `NAME.pem`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn add_client(&self, name: &str) -> Result<()> {
        let own = self.dir.join(format!("{name}.pem"));
        Ok(std::fs::write(own, self.authority.client(name))?)
    }

    /// Their folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file of whom clients are to trust.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// What a client of Java is told, a setting each.
    #[must_use]
    pub fn of_java(&self) -> [String; 3] {
        [
            "security.protocol=SSL".to_owned(),
            "ssl.truststore.type=PEM".to_owned(),
            format!("ssl.truststore.location={}", self.authority().display()),
        ]
    }
}

impl Shape {
    /// Gives it a listener that encrypts by TLS 1.3; see [`super::Cluster::bootstrap_encrypted`].
    #[must_use]
    pub fn encrypting(self, certificates: &Certificates) -> Self {
        let own = certificates.dir.join("broker.pem").display().to_string();
        self.listener(LISTENER)
            .with(
                "listener.security.protocol.map",
                "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SSL",
            )
            .with("inter.broker.listener.name", "PLAINTEXT")
            .with("ssl.enabled.protocols", "TLSv1.3")
            .with("ssl.keystore.type", "PEM")
            .with("ssl.keystore.location", &own)
    }
}

impl super::Cluster {
    /// `host:port` of every broker where it encrypts, separated by commas.
    #[must_use]
    pub fn bootstrap_encrypted(&self) -> String {
        self.bootstrap_of(LISTENER)
    }
}
