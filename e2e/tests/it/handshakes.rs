//! A broker in 256 MiB and a crowd that never finishes its handshakes: who is connected is served
//! as before, who comes is let in, and once the crowd has given up nothing of it is left.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ottla_e2e::bench::handshakes;
use ottla_e2e::client::kcat::{broker_count, kcat};
use ottla_e2e::client::run;
use ottla_e2e::cluster::{Certificates, eventually};
use ottla_e2e::process::{Process, bound_to_us};
use ottla_e2e::setup;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::corpus::{Group, MEMORY_BYTES, QUIET, beside, p99};
use crate::start::is_measured;

/// Clients that never finish.
const CROWD: usize = 10_000;

/// Who of them come at the same time, and how long each lets pass before the next: a queue that is
/// full has its callers wait for a second, and all are to be there before the first is given up.
const COMING: usize = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// What this process opens besides.
const OTHER_FILES: u64 = 1_000;

/// How often those who send byte by byte send one.
const DRIP: Duration = Duration::from_millis(500);

/// How long they go on.
const DRIPPING: Duration = Duration::from_secs(5);

/// What a machine with much else to do may add to the time of a request.
const BUSY: Duration = Duration::from_millis(500);

/// A broker with a plain listener and one that encrypts, in a control group of its own where this
/// machine lets us make one.
struct House {
    process: Process,
    plain: String,
    encrypted: String,
    certificates: Certificates,
    _group: Option<Group>,
}

fn start(name: &str) -> Result<House> {
    let group = Group::of(&format!("ottla-{name}"), MEMORY_BYTES);
    let dir = setup::scratch(name);
    let certificates = Certificates::make(&format!("{name}-certificates"))?;
    let ports = setup::free_ports(4);
    let address = |at: usize| format!("127.0.0.1:{}", ports[at]);
    let config = dir.join("properties");
    std::fs::write(
        &config,
        format!(
            "node.id=0\nlog.dirs={}\nottla.http.listener={}\n\
             listeners=PLAINTEXT://{},SECURE://{},CONTROLLER://{}\n\
             controller.listener.names=CONTROLLER\ncontroller.quorum.voters=0@{}\n\
             listener.security.protocol.map=\
             PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SSL\n\
             inter.broker.listener.name=PLAINTEXT\nottla.first.request.timeout.ms=5000\n\
             auto.create.topics.enable=true\n\
             ssl.keystore.type=PEM\nssl.keystore.location={}\n",
            dir.join("data").display(),
            address(0),
            address(1),
            address(2),
            address(3),
            address(3),
            certificates.dir().join("broker.pem").display(),
        ),
    )?;
    let broker = setup::binary("ottla-broker")?;
    let mut command = bound_to_us(Path::new("sh"));
    let within = group.as_ref().map_or_else(String::new, |group| {
        format!("echo $$ > {} && ", group.tasks().display())
    });
    let script = format!(
        "{within}exec {} --config {}",
        broker.display(),
        config.display()
    );
    command.args(["-c", &script]).current_dir(&dir);
    let process = Process::start(command, &dir.join("log"))?;
    let (plain, encrypted) = (address(1), address(2));
    eventually(Duration::from_secs(20), || {
        ensure!(broker_count(&plain) == Some(1));
        Ok(())
    })?;
    kcat(&plain, &["-P", "-t", "good"], "record\n")?.success()?;
    Ok(House {
        process,
        plain,
        encrypted,
        certificates,
        _group: group,
    })
}

impl House {
    /// How many files the broker has open.
    fn open_files(&self) -> Result<usize> {
        let files = PathBuf::from(format!("/proc/{}/fd", self.process.pid()));
        Ok(std::fs::read_dir(files)?.count())
    }
}

/// What a client says first.
fn hello() -> Result<Vec<u8>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("localhost")?;
    let mut client = ClientConnection::new(Arc::new(config), name)?;
    let mut hello = Vec::new();
    client.write_tls(&mut hello)?;
    Ok(hello)
}

/// Whether this process may open as many connections as that.
fn may_open(connections: usize) -> bool {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let _ = setrlimit(Resource::Nofile, raised);
    let wanted = connections as u64 + OTHER_FILES;
    getrlimit(Resource::Nofile)
        .current
        .is_none_or(|most| most >= wanted)
}

/// Connections by their numbers, of which each third stops half way through its hello, sends that
/// byte by byte, or says all of it and nothing more.
fn crowd(address: &str, hello: &[u8]) -> Result<Vec<(usize, TcpStream)>> {
    let one = |number: usize| -> Result<(usize, TcpStream)> {
        std::thread::sleep(PAUSE);
        let mut stream = TcpStream::connect(address).context("one of the crowd")?;
        stream.write_all(match number % 3 {
            0 => &hello[..hello.len() / 2],
            1 => &hello[..1],
            _ => hello,
        })?;
        Ok((number, stream))
    };
    let one = &one;
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..COMING)
            .map(|part| scope.spawn(move || (part..CROWD).step_by(COMING).map(one).collect()))
            .collect();
        let mut crowd = Vec::with_capacity(CROWD);
        for part in parts {
            let part: Result<Vec<_>> = part.join().expect("it does not panic");
            crowd.extend(part?);
        }
        Ok(crowd)
    })
}

#[test]
fn ten_thousand_slow_handshakes_hold_up_nobody() -> Result<()> {
    if !may_open(CROWD) {
        println!("skipped: {CROWD} connections are more than this process may open");
        return Ok(());
    }
    let mut house = start("crowd")?;
    let quiet = beside(&house.plain, || {
        std::thread::sleep(QUIET);
        Ok(())
    })?;
    let (before, hello) = (house.open_files()?, hello()?);
    let mut most = 0;
    let harassed = beside(&house.plain, || {
        let began = Instant::now();
        let mut crowd = crowd(&house.encrypted, &hello)?;
        println!("a crowd of {} after {:?}", crowd.len(), began.elapsed());
        let began = Instant::now();
        let mut sent = 1;
        while began.elapsed() < DRIPPING {
            std::thread::sleep(DRIP);
            for (_, stream) in crowd.iter_mut().filter(|(number, _)| number % 3 == 1) {
                // the broker may have given it up
                let _ = stream.write_all(&hello[sent..=sent]);
            }
            sent += 1;
            most = most.max(house.open_files()?);
        }
        // who means it is let in beside them
        let authority = house.certificates.authority();
        handshakes::load(&house.encrypted, &authority, 20)?;
        Ok(())
    })?;
    let peak = house.process.resident_bytes_peak()?;
    println!(
        "p99 of the good client {:?} before, {:?} beside {CROWD} handshakes; {most} files open at \
         most; {} MiB at most",
        p99(&quiet),
        p99(&harassed),
        peak >> 20,
    );
    ensure!(
        house.process.is_running(),
        "it ended: {}",
        house.process.output()
    );
    ensure!(peak < MEMORY_BYTES, "{peak} bytes");
    ensure!(most > before + CROWD / 2, "there were {most} at most");
    let slack = if is_measured() { Duration::ZERO } else { BUSY };
    ensure!(
        p99(&harassed) <= p99(&quiet) * 2 + slack,
        "the good client was held up"
    );
    eventually(Duration::from_secs(30), || {
        let left = house.open_files()?;
        ensure!(
            left < before + 100,
            "{left} files are open, {before} before"
        );
        Ok(())
    })?;
    Ok(())
}

/// OpenSSL's own client, which asks for another handshake within the first one's connection.
#[test]
fn a_handshake_within_a_connection_is_refused() -> Result<()> {
    let house = start("renegotiation")?;
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-tls1_2", "-connect", &house.encrypted])
        .arg("-CAfile")
        .arg(house.certificates.authority());
    let output = run(command, b"R\n", Duration::from_secs(60))?;
    let again = output.all();
    let again = again.split("RENEGOTIATING").nth(1);
    let again = again.context("it asked for another handshake")?;
    ensure!(
        again.contains("error") && !again.contains("verify return"),
        "{}",
        output.all()
    );
    // and others still shake hands
    let mut stream = TcpStream::connect(&house.encrypted)?;
    stream.write_all(&hello()?)?;
    let mut answer = [0; 1];
    stream.read_exact(&mut answer)?;
    ensure!(answer == [0x16], "no handshake");
    Ok(())
}
