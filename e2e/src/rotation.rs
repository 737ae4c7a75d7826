//! Certificates that change while clients produce: those of brokers by time and by hand, and their
//! authorities, which expire. Clients that log in by a password, that show a certificate, and that
//! only come now see none of it: no record is refused.
//!
//! The operator's certificates hold for months. So the cluster is one that is restored from a
//! backup: its authorities are made here, and expire within minutes; and once its brokers have a
//! certificate with as little time left as one that was made two months ago.
//!
//! The cluster has a listener `passwords` and one `mutual`, the users [`PASSWORD_USER`] and
//! [`CERTIFICATE_USER`], and the topics [`TOPICS`].

mod issue;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

pub use self::issue::{Authority, now};
use crate::client::load::Load;
use crate::client::run;
use crate::setup::scratch;

/// The users, and the topics that they produce to.
pub const PASSWORD_USER: &str = "ann";
/// Who shows a certificate.
pub const CERTIFICATE_USER: &str = "ben";
/// The last one is for clients that only come.
pub const TOPICS: [&str; 4] = [
    "rotation-ann",
    "rotation-ben",
    "rotation-again",
    "rotation-new",
];

const DAY_SECONDS: i64 = 24 * 60 * 60;
/// How long before it expires the operator has another certificate take a broker's place.
const RENEWED_BEFORE_SECONDS: i64 = 30 * DAY_SECONDS;
/// Part of the names of the authorities that the cluster begins with.
const FIRST: &str = "of a backup";
/// Longer than anything promised.
const TIMEOUT: Duration = Duration::from_secs(120);
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// How often pods are asked to take their Secret again.
const HASTEN_INTERVAL: Duration = Duration::from_secs(10);
const TOOL_TIMEOUT: Duration = Duration::from_secs(30);

/// What a Secret holds.
pub type Data = BTreeMap<String, String>;

/// Where the cluster runs.
pub trait Place: Sync {
    /// The cluster's name.
    fn cluster(&self) -> &str;

    /// What a Secret holds.
    ///
    /// # Errors
    /// It is not there.
    fn read(&self, secret: &str) -> Result<Data>;

    /// Has a Secret that is there hold this too.
    ///
    /// # Errors
    /// It is not there.
    fn write(&self, secret: &str, data: &Data) -> Result<()>;

    /// Deletes a Secret.
    ///
    /// # Errors
    /// It is not there.
    fn delete(&self, secret: &str) -> Result<()>;

    /// Where each broker takes passwords.
    ///
    /// # Errors
    /// That is not known.
    fn brokers(&self) -> Result<Vec<String>>;

    /// Has brokers find now what Secrets hold, where that takes time else.
    ///
    /// # Errors
    /// It cannot be asked for.
    fn hasten(&self) -> Result<()>;

    /// Asks a broker to stop, and waits until another is in its place and all is well.
    ///
    /// # Errors
    /// That takes too long.
    fn restart(&self, ordinal: usize) -> Result<()>;
}

/// How long things last, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The authorities that the cluster begins with.
    pub authority: i64,
    /// A certificate of brokers, until the operator renews it.
    pub left: i64,
}

/// The authorities of a cluster, of brokers and of users, before it is made.
pub struct Restored {
    brokers: Authority,
    over: i64,
    times: Times,
}

impl Restored {
    /// Makes them, and gives the Secret of each, by its name behind the cluster's.
    ///
    /// # Errors
    /// They cannot be made.
    pub fn make(cluster: &str, times: Times) -> Result<(Self, [(&'static str, Data); 2])> {
        let over = now() + times.authority;
        let [brokers, users] = ["ca", "users-ca"].map(|what| {
            let name = format!("{cluster} {what} {FIRST}");
            Authority::new(&name, over)
        });
        let (brokers, users) = (brokers?, users?);
        let secret = |one: &Authority| {
            let parts = [
                ("ca.crt", &one.certificate),
                ("signer.crt", &one.certificate),
                ("ca.key", &one.key),
            ];
            parts
                .map(|(key, text)| (key.to_owned(), text.clone()))
                .into()
        };
        let secrets = [("ca", secret(&brokers)), ("users-ca", secret(&users))];
        let restored = Self {
            brokers,
            over,
            times,
        };
        Ok((restored, secrets))
    }

    /// Renews everything under load; the cluster, its topics and its users are Ready.
    ///
    /// # Errors
    /// A record was refused or lost, or a certificate did not change.
    pub fn rotate(&self, place: &dyn Place) -> Result<()> {
        ensure!(
            authorities(place, PASSWORD_USER)? == 2,
            "the next one is trusted already"
        );
        let ann = load(place, PASSWORD_USER, TOPICS[0])?;
        let (ben, old) = (load(place, CERTIFICATE_USER, TOPICS[1])?, scratch("old"));
        write_files(place, CERTIFICATE_USER, &old)?;
        let stop = AtomicBool::new(false);
        let again = std::thread::scope(|scope| {
            let newcomers = scope.spawn(|| newcomers(place, &stop));
            // also where the change panics, or they would come for ever
            let stopping = Stopping(&stop);
            let changed = self.change(place, ben);
            drop(stopping);
            let newcomers = newcomers.join();
            let newcomers =
                newcomers.map_err(|_| anyhow!("a client that only came panicked"))??;
            println!("{newcomers} clients came meanwhile, and each produced");
            changed
        })?;
        for load in [ann, again] {
            finish(load)?;
        }
        let refused = produce(&old)?;
        ensure!(refused.is_err(), "whom nobody trusts any more was let in");
        Ok(())
    }

    /// All changes, one after the other. `ben` produces by a certificate of the first authority,
    /// until that is nearly over; who goes on after him is returned.
    fn change(&self, place: &dyn Place, ben: Load) -> Result<Load> {
        let shown =
            |what: &str, is_such: &dyn Fn(&Shown) -> bool| until_shown(place, what, is_such);
        let is_of_first = |one: &Shown| one.issuer.contains(FIRST);
        let cluster = place.cluster();
        let first = shown("made by the operator", &is_of_first)?;

        let given = self.give(place)?;
        shown("with little time left", &|one| given.contains(&one.serial))?;
        let renewed = shown("renewed by time", &|one| !given.contains(&one.serial))?;
        ensure!(
            !renewed.iter().any(|one| first.contains(one)),
            "{renewed:?}"
        );

        place.delete(&format!("{cluster}.certificates"))?;
        shown("made anew by hand", &|one| !renewed.contains(one))?;

        // As if the next authorities had been trusted for a day.
        for what in ["ca", "users-ca"] {
            let since = (now() - DAY_SECONDS).to_string();
            let since = Data::from([("next.since".to_owned(), since)]);
            place.write(&format!("{cluster}.{what}"), &since)?;
        }
        shown("of the next authority", &|one| !is_of_first(one))?;
        place.restart(1)?;
        let again = until(|| {
            let own = place.read(CERTIFICATE_USER)?;
            let issuer = described(own.get("user.crt").context("a certificate")?)?.issuer;
            ensure!(!issuer.contains(FIRST), "no new certificate of the user");
            load(place, CERTIFICATE_USER, TOPICS[2])
        })?;
        ensure!(
            now() < self.over,
            "too slow: the first authority is over already"
        );
        finish(ben)?;

        let left = u64::try_from(self.over - now()).unwrap_or_default();
        println!("{left} s until the first authority expires");
        std::thread::sleep(Duration::from_secs(left));
        for user in [PASSWORD_USER, CERTIFICATE_USER] {
            until(|| {
                ensure!(authorities(place, user)? == 1, "{user} trusts what expired");
                Ok(())
            })?;
        }
        place.hasten()?;
        place.restart(2)?;
        shown("of the next authority alone", &|one| !is_of_first(one))?;
        Ok(again)
    }

    /// Gives brokers certificates with little time left, for the same hosts, and says their
    /// numbers.
    fn give(&self, place: &dyn Place) -> Result<Vec<String>> {
        let secret = format!("{}.certificates", place.cluster());
        let found = place.read(&secret)?;
        let (mut files, mut serials) = (Data::new(), Vec::new());
        for listener in ["brokers", "passwords", "mutual"] {
            let made_of = found.get(&format!("{listener}.made-of"));
            let hosts = made_of.and_then(|made_of| made_of.split_once(' '));
            let (_, hosts) = hosts.context("a signer and hosts")?;
            let hosts = hosts.split(',').map(str::to_owned).collect();
            let until = now() + RENEWED_BEFORE_SECONDS + self.times.left;
            let keystore = self.brokers.sign("brokers", hosts, until)?;
            serials.push(described(&keystore)?.serial);
            files.insert(format!("{listener}.pem"), keystore);
        }
        place.write(&secret, &files)?;
        Ok(serials)
    }
}

/// What a certificate is told apart by.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    serial: String,
    issuer: String,
}

/// The first certificate of a text.
fn described(text: &str) -> Result<Shown> {
    let told = openssl(&["x509", "-noout", "-serial", "-issuer"], text)?;
    let value = |name: &str| {
        let line = told.lines().find_map(|line| line.strip_prefix(name));
        line.map(str::to_owned).with_context(|| told.clone())
    };
    Ok(Shown {
        serial: value("serial=")?,
        issuer: value("issuer=")?,
    })
}

fn openssl(args: &[&str], input: &str) -> Result<String> {
    let mut command = Command::new("openssl");
    command.args(args);
    Ok(run(command, input.as_bytes(), TOOL_TIMEOUT)?.stdout)
}

/// Waits until each broker shows such a certificate, and tells which.
fn until_shown(
    place: &dyn Place,
    what: &str,
    is_such: &dyn Fn(&Shown) -> bool,
) -> Result<Vec<Shown>> {
    let (begun, mut hastened) = (Instant::now(), None);
    let all = until(|| {
        if hastened.is_none_or(|at: Instant| at.elapsed() > HASTEN_INTERVAL) {
            place.hasten()?;
            hastened = Some(Instant::now());
        }
        let shown = place.brokers()?.into_iter().map(|address| {
            let said = openssl(&["s_client", "-connect", &address], "")?;
            described(&said).context(address)
        });
        let all = shown.collect::<Result<Vec<_>>>()?;
        ensure!(all.iter().all(is_such), "not {what}: {all:?}");
        Ok(all)
    })?;
    println!(
        "{what} after {:.1} s: {all:?}",
        begun.elapsed().as_secs_f64()
    );
    Ok(all)
}

/// Tries until it succeeds.
fn until<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Err(error) if begun.elapsed() >= TIMEOUT => return Err(error),
            Err(_) => std::thread::sleep(POLL_INTERVAL),
            done => return done,
        }
    }
}

/// How many authorities a user trusts.
fn authorities(place: &dyn Place, user: &str) -> Result<usize> {
    let data = place.read(user)?;
    let trusted = data.get("ca.crt").context("a user trusts somebody")?;
    Ok(trusted.matches("BEGIN CERTIFICATE").count())
}

/// What the Secret of a user has now, in files.
fn write_files(place: &dyn Place, user: &str, folder: &Path) -> Result<()> {
    for (key, text) in place.read(user)? {
        std::fs::write(folder.join(key), text)?;
    }
    Ok(())
}

/// The settings of librdkafka by the files of a user.
fn settings(folder: &Path) -> Result<Vec<String>> {
    let text = |key: &str| std::fs::read_to_string(folder.join(key));
    let file = |name: &str, key: &str| format!("{name}={}", folder.join(key).display());
    let mut settings = vec![file("ssl.ca.location", "ca.crt")];
    match text("password") {
        Ok(password) => settings.extend([
            "security.protocol=SASL_SSL".to_owned(),
            "sasl.mechanism=SCRAM-SHA-512".to_owned(),
            format!("sasl.username={}", text("username")?),
            format!("sasl.password={password}"),
        ]),
        Err(_) => settings.extend([
            "security.protocol=SSL".to_owned(),
            file("ssl.certificate.location", "user.crt"),
            file("ssl.key.location", "user.key"),
        ]),
    }
    Ok(settings)
}

/// A load that sends each record once, with what the user's Secret has now.
fn load(place: &dyn Place, user: &str, topic: &str) -> Result<Load> {
    let folder: PathBuf = scratch(user);
    write_files(place, user, &folder)?;
    let flags = ["--no-retries", "--follow", "--rate", "100"];
    let mut flags = flags.map(str::to_owned).to_vec();
    for setting in settings(&folder)? {
        flags.extend(["--set".to_owned(), setting]);
    }
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let bootstrap = std::fs::read_to_string(folder.join("bootstrap.servers"))?;
    Load::start(bootstrap.trim(), topic, &flags)
}

/// Ends a load, of which no record may have failed.
fn finish(load: Load) -> Result<()> {
    let verdict = load.finish(Duration::from_secs(180))?;
    let told = ["sent", "acknowledged", "failed", "pause_max_ms"];
    println!("{:?}", told.map(|name| (name, verdict.count(name))));
    verdict.assert_nothing_lost();
    ensure!(verdict.count("duplicates") == 0, "{}", verdict.json);
    Ok(())
}

/// A record by kcat, with the files of a user: why that failed, where it did.
fn produce(folder: &Path) -> Result<Result<()>> {
    let bootstrap = std::fs::read_to_string(folder.join("bootstrap.servers"))?;
    let mut command = Command::new("kcat");
    command.args(["-P", "-t", TOPICS[3], "-X", "message.timeout.ms=20000"]);
    // on Kubernetes the address of a pod that is gone swallows what is sent to it
    command.args(["-X", "socket.connection.setup.timeout.ms=1000"]);
    command.args(["-b", bootstrap.trim()]);
    for setting in settings(folder)? {
        command.args(["-X", &setting]);
    }
    let output = run(command, b"new\n", TOOL_TIMEOUT)?;
    Ok(output.success().map(drop))
}

/// Says that it is over when it goes.
struct Stopping<'a>(&'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A client after the other, each with what the Secret has when it starts; how many came.
fn newcomers(place: &dyn Place, stop: &AtomicBool) -> Result<usize> {
    let (folder, mut count) = (scratch("newcomers"), 0);
    while !stop.load(Ordering::Relaxed) {
        write_files(place, CERTIFICATE_USER, &folder)?;
        let produced = produce(&folder)?;
        produced.with_context(|| format!("client {count} that only came"))?;
        count += 1;
        std::thread::sleep(POLL_INTERVAL);
    }
    Ok(count)
}
