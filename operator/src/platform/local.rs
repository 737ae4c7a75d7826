//! Brokers as processes of this machine.
//!
//! Each broker and each dedicated controller has a folder `<data-dir>/<cluster>-<id>`:
//!
//! ```text
//! broker.properties   the settings the process was started with
//! pid                 its process id, while it runs
//! log                 what it writes to its standard output and error
//! ...                 its data, which is the broker's own affair
//! ```
//!
//! Invariant: a process is stopped or adopted only when its command line names the folder's
//! `broker.properties`, so that a recycled process id harms nobody.

pub mod ports;
mod process;
mod settings_file;
mod volume;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use self::process::Process;
use self::volume::{give_up, left_given_up, stays, volume};
use super::{
    AllowedFrom, BrokerState, Endpoints, Listener, NotYet, Platform, Properties, Volume, pages,
};
use crate::observed::RestartCheck;
use crate::spoken::node;
use crate::validated::{CONTROLLERS_MAX, FIRST_CONTROLLER, REPLICAS_MAX, dedicated};

pub use self::settings_file::{parse_settings, render_settings};

/// The processes of one cluster.
#[derive(Debug)]
pub struct Processes {
    cluster: String,
    data_dir: PathBuf,
    certificates: PathBuf,
    binary: PathBuf,
    brokers: BTreeMap<i32, Process>,
}

/// How often brokers that are stopping are looked at.
const STOP_POLL: Duration = Duration::from_millis(10);

impl Processes {
    /// Takes over what an earlier operator left of this cluster in `data_dir`: brokers that run are
    /// adopted, folders of brokers that do not are theirs still. `certificates` is the folder of
    /// those of all brokers.
    #[must_use]
    pub fn take_over(cluster: &str, data_dir: &Path, binary: &Path, certificates: PathBuf) -> Self {
        let left = |id: i32| {
            let folder = data_dir.join(format!("{cluster}-{id}"));
            Some((id, Process::take_over(&folder, binary)?))
        };
        // one of them may have been given another folder, and have none yet
        let mut brokers: BTreeMap<i32, Process> = (0..REPLICAS_MAX).filter_map(left).collect();
        brokers.extend(dedicated(CONTROLLERS_MAX).into_iter().filter_map(left));
        for folder in left_given_up(cluster, data_dir) {
            tokio::task::spawn_blocking(move || std::fs::remove_dir_all(folder));
        }
        Self {
            cluster: cluster.to_owned(),
            data_dir: data_dir.to_owned(),
            certificates,
            binary: binary.to_owned(),
            brokers,
        }
    }
}

impl Platform for Processes {
    const BUSY_INTERVAL: Duration = Duration::from_millis(20);
    const QUIET_INTERVAL: Duration = Duration::from_millis(200);
    const KEEPS_DATA: bool = true;

    fn lay_out(&self, nodes: &BTreeSet<i32>, listeners: &[Listener]) -> BTreeMap<i32, Endpoints> {
        let node = |id: i32| {
            let folder = self.data_dir.join(format!("{}-{id}", self.cluster));
            ports::lay_out(id, listeners, folder, self.certificates.clone())
        };
        nodes.iter().map(|id| (*id, node(*id))).collect()
    }

    fn allowed_from(&self) -> AllowedFrom {
        AllowedFrom::ThisMachine
    }

    fn bootstrap(&self, everywhere: &BTreeMap<i32, Endpoints>) -> BTreeMap<String, String> {
        let mut addresses: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for client in everywhere.values().flat_map(|one| &one.clients) {
            let listener = addresses.entry(client.name.clone()).or_default();
            listener.push(&client.advertised);
        }
        let joined = addresses
            .into_iter()
            .map(|(name, all)| (name, all.join(",")));
        joined.collect()
    }

    async fn prepare(
        &mut self,
        _: &BTreeMap<i32, Properties>,
        _: fn(&str) -> bool,
    ) -> Result<Vec<NotYet>, Vec<NotYet>> {
        Ok(Vec::new())
    }

    async fn observe(&mut self) -> BTreeMap<i32, BrokerState> {
        let now = Instant::now();
        let mut states = BTreeMap::new();
        for (id, process) in &mut self.brokers {
            process.advance(now);
            process.probe(now).await;
            states.insert(*id, process.state(now));
        }
        states
    }

    async fn start(&mut self, broker: i32, settings: &Properties) {
        let folder = self.data_dir.join(format!("{}-{broker}", self.cluster));
        let process = Process::new(folder, self.binary.clone(), settings.clone());
        let process = self.brokers.entry(broker).or_insert(process);
        process.restart_with(settings.clone());
        process.advance(Instant::now());
    }

    async fn restart(&mut self, broker: i32, settings: &Properties) -> Result<(), NotYet> {
        if let Some(process) = self.brokers.get_mut(&broker) {
            process.restart_with(settings.clone());
        }
        Ok(())
    }

    async fn remove(&mut self, broker: i32) {
        let Some(process) = self.brokers.get_mut(&broker) else {
            return;
        };
        process.request_stop();
        process.advance(Instant::now());
        if !process.is_running() && process.forget_settings() {
            self.brokers.remove(&broker);
        }
    }

    async fn restart_check(&mut self, asked: i32, of: i32) -> Result<RestartCheck, String> {
        let process = self.brokers.get(&asked);
        match process.and_then(Process::http_address) {
            Some(address) => pages::restart_check(address, of, asked == of).await,
            None if asked == of => Ok(RestartCheck::default()),
            None => Err(format!("broker {asked} has no address to be asked at")),
        }
    }

    async fn volume(&mut self, node: i32) -> Result<Option<Volume>, NotYet> {
        let folder = self.brokers.get(&node).map(Process::folder);
        folder.map_or(Ok(None), volume)
    }

    async fn replace(
        &mut self,
        node: i32,
        given: Option<&Volume>,
        settings: &Properties,
    ) -> Result<bool, NotYet> {
        let Some(process) = self.brokers.get_mut(&node) else {
            return Ok(false);
        };
        // Without data it is started by itself.
        if given.is_none() || volume(process.folder())?.as_ref() != given {
            return Ok(false);
        }
        if let Some(why) = stays(process.folder()) {
            return Err(why);
        }
        process.request_stop();
        process.advance(Instant::now());
        if process.is_running() {
            return Ok(false);
        }
        let given_up = give_up(process.folder()).map_err(|error| NotYet {
            is_stuck: false,
            message: format!(
                "The folder {} cannot be given up: {error}.",
                process.folder().display()
            ),
        })?;
        process.restart_with(settings.clone());
        process.advance(Instant::now());
        // it may take long, and is tried again by the operator that comes after this one
        tokio::task::spawn_blocking(move || std::fs::remove_dir_all(given_up));
        Ok(true)
    }

    async fn keep(&mut self, broker: i32, settings: &Properties) {
        if let Some(process) = self.brokers.get_mut(&broker) {
            process.keep(settings.clone());
        }
    }

    fn take_events(&mut self) -> Vec<String> {
        let mut events = Vec::new();
        for (id, process) in &mut self.brokers {
            let own = process.take_events().into_iter();
            events.extend(own.map(|event| format!("{} {event}", node(*id))));
        }
        events
    }

    /// The last broker first, each after the one before has gone, so that leaders can move to those
    /// that remain; controllers at last, since they move them.
    async fn stop(&mut self, is_hurried: impl Fn() -> bool) {
        let mut controllers = self.brokers.split_off(&FIRST_CONTROLLER);
        let brokers = self.brokers.values_mut().rev();
        for process in brokers.chain(controllers.values_mut().rev()) {
            process.request_stop();
            while process.is_running() {
                if is_hurried() {
                    process.kill();
                }
                process.advance(Instant::now());
                tokio::time::sleep(STOP_POLL).await;
            }
        }
        self.brokers.append(&mut controllers);
    }

    fn delete_data(&mut self) -> std::io::Result<()> {
        for process in self.brokers.values() {
            assert!(
                !process.is_running(),
                "data is deleted under a running broker"
            );
            std::fs::remove_dir_all(process.folder())?;
        }
        self.brokers.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
