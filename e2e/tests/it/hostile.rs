//! What must not hurt a broker: garbage, lengths that lie, silence, a second owner of its folder.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ottla_e2e::client::kcat::{broker_count, kcat};
use ottla_e2e::cluster::{Cluster, Server, Shape, eventually};
use ottla_e2e::process::{Process, bound_to_us};
use ottla_e2e::setup;

const GROWTH_BYTES_MAX: u64 = 16 << 20;

/// Sends these bytes, closes the sending half and waits until the broker closes the other.
fn send(address: &str, bytes: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    // the broker may well close before all is sent
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    Ok(())
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

#[test]
fn garbage_and_lengths_that_lie_cost_no_memory() -> Result<()> {
    let mut cluster = Cluster::start(Shape::new("hostile", 1))?;
    let address = cluster.bootstrap();
    kcat(&address, &["-P", "-t", "kept"], "before\n")?.success()?;
    let before = cluster.broker(0).process().resident_bytes()?;

    // key, version, correlation id, a null client id; then what the schema does not allow
    let header = |key: u16, version: u16| {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&key.to_be_bytes());
        bytes.extend_from_slice(&version.to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0, 1, 0xff, 0xff]);
        bytes
    };
    let huge_count = 0x7fff_ffff_u32.to_be_bytes();
    let attacks: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n".to_vec(),
        vec![0xff; 4096],
        vec![0x7f, 0xff, 0xff, 0xff, 0, 3],
        vec![0, 0, 0, 0],
        frame(&[0]),
        frame(&[header(3, 1), huge_count.to_vec()].concat()),
        frame(
            &[
                header(0, 7),
                vec![0xff, 0xff, 0, 1, 0, 0, 0, 9],
                huge_count.to_vec(),
            ]
            .concat(),
        ),
        frame(&[header(1, 4), vec![0; 17], huge_count.to_vec()].concat()),
        frame(&[header(3, 12), vec![0], vec![0xff, 0xff, 0xff, 0xff, 0x0f]].concat()),
        frame(&[header(18, 3), vec![0xff, 0xff, 0xff, 0xff, 0x0f]].concat()),
        frame(&[header(999, 0), vec![0; 8]].concat()),
        frame(&[header(11, 5), vec![0x7f, 0xff], vec![b'g'; 64]].concat()),
    ];
    for _ in 0..20 {
        for attack in &attacks {
            send(&address, attack)?;
        }
    }

    kcat(&address, &["-P", "-t", "kept"], "after\n")?.success()?;
    let kept = kcat(&address, &["-C", "-t", "kept", "-e", "-q"], "")?.success()?;
    ensure!(kept.stdout.lines().count() == 2, "{}", kept.stdout);
    if cluster.server() == Server::Ottla {
        let after = cluster.broker(0).process().resident_bytes()?;
        ensure!(
            after < before + GROWTH_BYTES_MAX,
            "grew from {before} to {after} bytes"
        );
    }
    Ok(())
}

/// Clients have their share of the descriptors, and no more: a log that opens one file after the
/// other goes on beside them.
#[test]
fn descriptors_that_clients_use_up_are_not_those_of_the_log() -> Result<()> {
    let dir = setup::scratch("descriptors");
    let port = setup::free_ports(1)[0];
    let broker = setup::binary("ottla-broker")?;
    let mut command = bound_to_us(Path::new("sh"));
    let limited = format!("ulimit -n 256; exec {} dev --port {port}", broker.display());
    command.args(["-c", &limited]).current_dir(&dir);
    let mut process = Process::start(command, &dir.join("log"))?;
    let address = format!("127.0.0.1:{port}");
    eventually(Duration::from_secs(20), || {
        ensure!(broker_count(&address) == Some(1));
        Ok(())
    })?;
    let topics: Vec<String> = (0..100).map(|place| format!("t{place}")).collect();
    let mut idle = Vec::new();
    for round in 0..2 {
        for topic in &topics {
            kcat(&address, &["-P", "-t", topic], "record\n")?.success()?;
        }
        if round == 0 {
            // as many as there may be, and more
            idle.extend((0..300).map_while(|_| TcpStream::connect(&address).ok()));
            // files are written once the broker has been idle, and stay open
            std::thread::sleep(Duration::from_secs(8));
            ensure!(process.is_running(), "it ended: {}", process.output());
            idle.truncate(50);
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    for topic in topics.iter().step_by(20) {
        let read = kcat(&address, &["-C", "-t", topic, "-e", "-q"], "")?.success()?;
        ensure!(read.stdout.lines().count() == 2, "{topic}: {}", read.stdout);
    }
    Ok(())
}

#[test]
fn a_data_directory_has_one_owner() -> Result<()> {
    let cluster = Cluster::start(Shape::new("one-owner", 1))?;
    let config = std::fs::read_to_string(cluster.file(0, "properties"))?;
    let ports = setup::free_ports(3);
    let moved: String = config
        .lines()
        .filter(|line| !line.contains("listener") && !line.contains("voters"))
        .map(|line| format!("{line}\n"))
        .collect();
    let listeners = format!(
        "listeners=PLAINTEXT://127.0.0.1:{},CONTROLLER://127.0.0.1:{}\n\
         controller.quorum.voters=0@127.0.0.1:{}\nottla.http.listener=127.0.0.1:{}\n",
        ports[0], ports[1], ports[1], ports[2]
    );
    let second = cluster.dir().join("second.properties");
    std::fs::write(&second, moved + &listeners)?;
    let args = ["--config".to_string(), second.display().to_string()];
    let log = cluster.dir().join("second.log");
    let mut process = Process::spawn(&setup::binary("ottla-broker")?, &args, &log)?;
    let status = process.wait(Duration::from_secs(10))?;
    ensure!(!status.success());
    let said = process.output();
    let line = said.lines().last().context("a sentence says why")?;
    ensure!(
        line.contains("0.data") && line.contains("use"),
        "it names the directory: {said}"
    );
    kcat(&cluster.bootstrap(), &["-P", "-t", "still-serving"], "x\n")?.success()?;
    Ok(())
}

#[test]
fn a_setting_that_kafka_refuses_is_refused() -> Result<()> {
    let dir = setup::scratch("refused");
    let cases = [
        ("num.partitions=none", "num.partitions"),
        ("num.partitons=3", "num.partitions"),
        ("listeners=PLAINTEXT:/127.0.0.1", "listeners"),
        ("log.retention.ms=soon", "log.retention.ms"),
        ("no equals sign", "key=value"),
    ];
    for (line, word) in cases {
        let config = dir.join("refused.properties");
        std::fs::write(&config, format!("node.id=0\n{line}\n"))?;
        let args = ["--config".to_string(), config.display().to_string()];
        let log = dir.join("refused.log");
        let _ = std::fs::remove_file(&log);
        let mut process = Process::spawn(&setup::binary("ottla-broker")?, &args, &log)?;
        let status = process.wait(Duration::from_secs(10))?;
        let said = process.output();
        ensure!(!status.success(), "{line} was taken: {said}");
        ensure!(
            said.contains(word),
            "{line} is refused by a sentence with {word}: {said}"
        );
        ensure!(said.lines().count() <= 2, "one sentence: {said}");
    }
    Ok(())
}
