//! Certificates that change under load: see [`ottla_e2e::rotation`].

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::cluster::eventually;
use ottla_e2e::local::Local;
use ottla_e2e::rotation::{CERTIFICATE_USER, Data, PASSWORD_USER, Place, Restored, TOPICS, Times};
use rustix::process::Signal;

use super::{Ground, STOP_TIMEOUT, is_alive, pid, signal, topic};

/// Files are looked at every few seconds; the rest is for a busy machine.
const TIMES: Times = Times {
    authority: 120,
    left: 25,
};
const RESTART_TIMEOUT: Duration = Duration::from_secs(60);

fn cluster(port: u16) -> String {
    let mutual = port + 4;
    format!(
        "apiVersion: ottla.io/v1alpha1\nkind: KafkaCluster\nmetadata: {{ name: c }}\nspec:\n  \
         replicas: 3\n  listeners:\n    - {{ name: passwords, port: {port}, tls: {{}}, \
         authentication: {{ type: Scram }} }}\n    - {{ name: mutual, port: {mutual}, tls: {{}}, \
         authentication: {{ type: MutualTls }} }}\n"
    )
}

fn user(name: &str, authentication: &str) -> String {
    format!(
        "apiVersion: ottla.io/v1alpha1\nkind: KafkaUser\nmetadata: {{ name: {name} }}\nspec:\n  \
         clusterRef: {{ name: c }}\n  authentication: {{ type: {authentication} }}\n  acls:\n    \
         - resource: {{ type: Topic, name: rotation-, pattern: Prefixed }}\n      \
         operations: [Read, Write, Describe]\n    \
         - resource: {{ type: Group, name: rotation-, pattern: Prefixed }}\n      \
         operations: [Read]\n    \
         - {{ resource: {{ type: Group, name: read-back }}, operations: [Read] }}\n"
    )
}

#[test]
fn certificates_and_their_authorities_change_and_expire_and_no_record_is_refused() -> Result<()> {
    let ground = Ground::new("rotation");
    let (restored, secrets) = Restored::make("c", TIMES)?;
    for (what, data) in secrets {
        let folder = ground.dir.join("data/secrets").join(format!("c.{what}"));
        std::fs::create_dir_all(&folder)?;
        for (file, text) in data {
            std::fs::write(folder.join(file), text)?;
        }
    }
    let config = "  config: { min.insync.replicas: \"2\" }\n";
    let mut manifests = vec![
        ("cluster.yaml".to_owned(), cluster(ground.port)),
        ("ann.yaml".to_owned(), user(PASSWORD_USER, "Scram")),
        ("ben.yaml".to_owned(), user(CERTIFICATE_USER, "MutualTls")),
    ];
    manifests.extend(TOPICS.map(|name| (format!("{name}.yaml"), topic(name, 3, config))));
    let given: Vec<(&str, &str)> = manifests.iter().map(|(a, b)| (&**a, &**b)).collect();
    let mut local = ground.start(&given)?;
    local.wait_line(&["ready in ", "bootstrap.servers="], RESTART_TIMEOUT)?;
    let place = Machine {
        local: &local,
        ground: &ground,
    };
    restored.rotate(&place)?;
    local.process().stop(STOP_TIMEOUT)?;
    Ok(())
}

struct Machine<'a> {
    local: &'a Local,
    ground: &'a Ground,
}

impl Machine<'_> {
    fn folder(&self, secret: &str) -> PathBuf {
        let of = if secret.contains('.') {
            "secrets"
        } else {
            "users"
        };
        self.ground.dir.join("data").join(of).join(secret)
    }
}

impl Place for Machine<'_> {
    fn cluster(&self) -> &str {
        "c"
    }

    fn read(&self, secret: &str) -> Result<Data> {
        let folder = self.folder(secret);
        let files = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        let mut data = Data::new();
        for file in files {
            let file = file?;
            let name = file.file_name().to_string_lossy().into_owned();
            data.insert(name, std::fs::read_to_string(file.path())?);
        }
        Ok(data)
    }

    /// Each file is moved to its place: nobody reads half of one.
    fn write(&self, secret: &str, data: &Data) -> Result<()> {
        for (file, text) in data {
            let part = self.ground.dir.join("secret.part");
            std::fs::write(&part, text)?;
            std::fs::rename(part, self.folder(secret).join(file))?;
        }
        Ok(())
    }

    fn delete(&self, secret: &str) -> Result<()> {
        Ok(std::fs::remove_dir_all(self.folder(secret))?)
    }

    fn brokers(&self) -> Result<Vec<String>> {
        let port = self.ground.port;
        Ok((port..port + 3)
            .map(|port| format!("127.0.0.1:{port}"))
            .collect())
    }

    fn hasten(&self) -> Result<()> {
        Ok(())
    }

    fn restart(&self, ordinal: usize) -> Result<()> {
        let ordinal = u16::try_from(ordinal)?;
        let before = pid(self.local, ordinal)?;
        signal(before, Signal::TERM)?;
        eventually(RESTART_TIMEOUT, || {
            let after = pid(self.local, ordinal)?;
            ensure!(
                after != before && is_alive(after),
                "no other broker is there"
            );
            let port = self.ground.port + ordinal;
            std::net::TcpStream::connect(("127.0.0.1", port))?;
            Ok(())
        })
    }
}
