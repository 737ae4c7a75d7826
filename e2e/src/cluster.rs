//! Brokers as processes on 127.0.0.1: ours, or Apache Kafka's from the same shape.
//!
//! `OTTLA_E2E_SERVER=apache` runs a test against Apache Kafka instead, to see whether the test
//! itself is true.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use crate::client::kcat;
use crate::process::{Process, bound_to_us, tail};
use crate::setup;

mod apache;
mod certificates;
mod disk;
mod network;
mod properties;
pub mod secured;
mod shape;

pub use certificates::Certificates;
pub use disk::Disk;
pub use network::Network;
pub use shape::{Server, Shape};

/// A running cluster; dropped, it is killed and its folder removed unless a test is failing.
pub struct Cluster {
    shape: Shape,
    dir: PathBuf,
    /// With the controllers behind them.
    brokers: Vec<Broker>,
    network: Option<Network>,
}

/// One broker of a cluster, or one of its controllers, running or not.
pub struct Broker {
    id: u16,
    host: String,
    port: u16,
    peer_port: u16,
    http_port: u16,
    /// Those of the shape's further listeners.
    listener_ports: Vec<u16>,
    process: Option<Process>,
    disk: Option<Disk>,
}

impl Broker {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> u16 {
        self.id
    }

    /// Where clients reach it.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Where others reach it, without a port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its own disk.
    ///
    /// # Panics
    /// The cluster was not made with disks.
    pub fn disk(&mut self) -> &mut Disk {
        self.disk.as_mut().expect("the shape has disks")
    }

    /// What it answers to a GET of `/metrics`, `/livez` or `/readyz`, its head included.
    ///
    /// # Errors
    /// It does not answer.
    pub fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect((self.host.as_str(), self.http_port))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: broker\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Its process.
    ///
    /// # Panics
    /// It does not run.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the broker runs")
    }
}

/// How long a cluster may take until every broker serves; Apache Kafka needs 10 s on two busy
/// cores.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

impl Cluster {
    /// Starts it and waits until every broker serves.
    ///
    /// # Errors
    /// A broker could not be started or the cluster is not ready in time.
    pub fn start(shape: Shape) -> Result<Self> {
        let (shape, tools) = secured::prepared(shape)?;
        let dir = setup::scratch(&shape.name);
        let ports_each = 3 + shape.listeners.len();
        let nodes = shape.brokers + shape.controllers;
        let ports = setup::free_ports(usize::from(nodes) * ports_each);
        let network = match shape.has_network {
            true => Some(Network::make(shape.brokers)?),
            false => None,
        };
        let host = |id| match &network {
            Some(network) => network.address(id),
            None => "127.0.0.1".into(),
        };
        let brokers = (0..nodes)
            .zip(ports.chunks(ports_each))
            .map(|(id, ports)| Broker {
                id,
                host: host(id),
                port: ports[0],
                peer_port: ports[1],
                http_port: ports[2],
                listener_ports: ports[3..].to_vec(),
                process: None,
                disk: None,
            })
            .collect();
        let mut cluster = Self {
            shape,
            dir,
            brokers,
            network,
        };
        cluster.make_disks()?;
        for id in 0..nodes {
            std::fs::write(cluster.file(id, "properties"), cluster.properties(id))?;
        }
        if cluster.shape.server == Server::Apache {
            apache::format(&cluster)?;
        }
        for id in 0..nodes {
            cluster.launch(id)?;
        }
        cluster.wait_ready()?;
        if let Some(properties) = tools {
            secured::publish(&cluster, properties);
        }
        Ok(cluster)
    }

    fn make_disks(&mut self) -> Result<()> {
        let Some(mib) = self.shape.disk_mib else {
            return Ok(());
        };
        for id in 0..self.shape.brokers {
            let (image, mount) = (self.file(id, "disk"), self.file(id, "data"));
            self.broker(id).disk = Some(Disk::make(&image, &mount, mib)?);
            if self.shape.server == Server::Apache {
                // it does not start beside a folder that is no partition
                std::fs::remove_dir(mount.join("lost+found"))?;
            }
        }
        Ok(())
    }

    /// The network that the brokers are in.
    ///
    /// # Panics
    /// The cluster was not made with one.
    #[must_use]
    pub fn network(&self) -> &Network {
        self.network.as_ref().expect("the shape has a network")
    }

    /// Takes the power of these brokers away at one moment: what is not on their disks is gone.
    /// They do not run afterwards.
    ///
    /// # Errors
    /// A disk cannot be copied or mounted.
    pub fn cut_power(&mut self, ids: &[u16]) -> Result<()> {
        for id in ids {
            self.broker(*id).process().signal(Signal::STOP);
        }
        let mut kept = Vec::new();
        for id in ids {
            kept.push(self.broker(*id).disk().keep()?);
        }
        for (id, kept) in ids.iter().zip(kept) {
            self.kill(*id);
            self.broker(*id).disk().replace(kept)?;
        }
        Ok(())
    }

    /// `host:port` of every broker, separated by commas.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        let brokers = self.brokers.iter().take(usize::from(self.size()));
        let addresses: Vec<_> = brokers.map(Broker::address).collect();
        addresses.join(",")
    }

    /// `host:port` of every voter's listener of controllers, separated by commas.
    #[must_use]
    pub fn bootstrap_controllers(&self) -> String {
        let voters = self.voters();
        let addresses: Vec<_> = voters
            .map(|b| format!("{}:{}", b.host, b.peer_port))
            .collect();
        addresses.join(",")
    }

    /// Those that form the metadata quorum: the controllers, or all brokers where there are none.
    pub(crate) fn voters(&self) -> impl Iterator<Item = &Broker> {
        let brokers = match self.shape.controllers {
            0 => 0,
            _ => self.size(),
        };
        self.brokers.iter().skip(usize::from(brokers))
    }

    /// The broker with this id.
    pub fn broker(&mut self, id: u16) -> &mut Broker {
        &mut self.brokers[usize::from(id)]
    }

    /// How many brokers it has.
    #[must_use]
    pub fn size(&self) -> u16 {
        self.shape.brokers
    }

    /// Whose brokers run.
    #[must_use]
    pub fn server(&self) -> Server {
        self.shape.server
    }

    /// The folder of everything that belongs to it.
    #[must_use]
    pub fn dir(&self) -> &PathBuf {
        &self.dir
    }

    /// The file of a broker that ends in this.
    #[must_use]
    pub fn file(&self, id: u16, end: &str) -> PathBuf {
        self.dir.join(format!("{id}.{end}"))
    }

    /// Starts a broker that does not run, without waiting for it.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn launch(&mut self, id: u16) -> Result<()> {
        let (config, log) = (self.file(id, "properties"), self.file(id, "log"));
        let process = match self.shape.server {
            Server::Apache => apache::launch(self, &config, &log)?,
            Server::Ottla => {
                let program = match &self.shape.build {
                    Some(folder) => folder.join("ottla-broker"),
                    None => setup::binary("ottla-broker")?,
                };
                let mut command = match &self.network {
                    Some(network) => network.command(id, &program),
                    None => bound_to_us(&program),
                };
                command.arg("--config").arg(&config);
                Process::start(command, &log)?
            }
        };
        self.broker(id).process = Some(process);
        Ok(())
    }

    /// Kills a broker at once (SIGKILL).
    pub fn kill(&mut self, id: u16) {
        self.broker(id).process = None;
    }

    /// Kills all brokers at one moment (SIGKILL).
    pub fn kill_all(&mut self) {
        for broker in &mut self.brokers {
            if let Some(process) = &mut broker.process {
                process.signal(Signal::KILL);
            }
        }
        for broker in &mut self.brokers {
            broker.process = None;
        }
    }

    /// Asks a broker to stop and waits until it has.
    ///
    /// # Errors
    /// It does not stop in time.
    pub fn stop(&mut self, id: u16) -> Result<()> {
        self.broker(id).process().stop(Duration::from_secs(30))?;
        self.broker(id).process = None;
        Ok(())
    }

    /// Waits until every broker that runs is known to all others and serves.
    ///
    /// # Errors
    /// It takes too long; the error has the end of each log.
    pub fn wait_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            let brokers = self.brokers.iter().take(usize::from(self.size()));
            let running = brokers.filter(|broker| broker.process.is_some());
            let count = running.clone().count();
            let all_see_all = running
                .into_iter()
                .all(|broker| kcat::broker_count(&broker.address()) == Some(count));
            if all_see_all {
                return Ok(());
            }
            for broker in &mut self.brokers {
                if let Some(process) = &mut broker.process {
                    let id = broker.id;
                    ensure!(
                        process.is_running(),
                        "broker {id} ended: {}",
                        tail(&process.output())
                    );
                }
            }
            ensure!(
                Instant::now() < deadline,
                "not ready in {READY_TIMEOUT:?}\n{}",
                self.logs()
            );
            std::thread::sleep(Duration::from_millis(25));
        }
    }

    /// The end of every broker's log.
    #[must_use]
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for broker in &self.brokers {
            let log = std::fs::read_to_string(self.file(broker.id, "log")).unwrap_or_default();
            let _ = writeln!(text, "---- broker {}\n{}", broker.id, tail(&log));
        }
        text
    }

    /// CPU time of all brokers together, in seconds.
    ///
    /// # Errors
    /// A broker is gone.
    pub fn cpu_seconds(&mut self) -> Result<f64> {
        self.brokers
            .iter_mut()
            .map(|broker| broker.process().cpu_seconds())
            .sum()
    }

    /// The most memory that one of the brokers holds now, in bytes.
    ///
    /// # Errors
    /// A broker is gone.
    pub fn resident_bytes(&mut self) -> Result<u64> {
        let mut most = 0;
        for broker in &mut self.brokers {
            most = most.max(broker.process().resident_bytes()?);
        }
        Ok(most)
    }

    /// The most memory that one of the brokers ever held, in bytes.
    ///
    /// # Errors
    /// A broker is gone.
    pub fn resident_bytes_peak(&mut self) -> Result<u64> {
        let mut most = 0;
        for broker in &mut self.brokers {
            most = most.max(broker.process().resident_bytes_peak()?);
        }
        Ok(most)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for broker in &mut self.brokers {
            broker.process = None;
            broker.disk = None;
        }
        if std::thread::panicking() {
            eprintln!(
                "the cluster's files stay in {}\n{}",
                self.dir.display(),
                self.logs()
            );
        } else {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// Runs a tool of the system.
///
/// # Errors
/// It cannot be started, or says that it failed.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<()> {
    let output = std::process::Command::new(program)
        .args(args)
        .output()
        .with_context(|| format!("starting {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{program} {}: {}",
        args.join(" "),
        said.trim()
    );
    Ok(())
}

/// Asks again and again until the answer is there.
///
/// # Errors
/// It is not there after `timeout`; the last refusal says why.
pub fn eventually<T>(timeout: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + timeout;
    loop {
        match attempt() {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() >= deadline => {
                return Err(error).with_context(|| format!("not within {timeout:?}"));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
