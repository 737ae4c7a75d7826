//! Log compaction as clients see it: few records a key, the last value right, offsets as they were,
//! on the leader and on a replica that was built from it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use ottla_e2e::client::kcat::kcat;
use ottla_e2e::client::tool::Tool;
use ottla_e2e::cluster::{Cluster, Shape, eventually};
use ottla_e2e::setup;

const TIMEOUT: Duration = Duration::from_secs(60);
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
const KEYS: usize = 20;
const UPDATES_PER_ROUND: usize = 4000;

/// Longer than `segment.ms`: what comes next goes to a new segment.
fn wait_for_the_next_segment() {
    std::thread::sleep(Duration::from_millis(700));
}

fn create(cluster: &Cluster, topic: &str) -> Result<()> {
    let mut tool = Tool::at("TopicCommand", &cluster.bootstrap())
        .args(&["--create", "--topic", topic])
        .args(&["--replica-assignment", "0:1"]);
    for config in [
        "cleanup.policy=compact",
        "segment.bytes=1048576",
        "segment.ms=500",
        "min.cleanable.dirty.ratio=0.01",
    ] {
        tool = tool.args(&["--config", config]);
    }
    tool.run()?;
    Ok(())
}

/// Updates every key many times, each round with another codec. Returns what is to stay.
fn update(cluster: &Cluster, topic: &str) -> Result<BTreeMap<String, String>> {
    let mut last = BTreeMap::new();
    let produce = |codec: &str, records: &str| {
        let args = ["-P", "-t", topic, "-K", "=", "-Z", "-z", codec];
        kcat(&cluster.bootstrap(), &args, records)?.success()
    };
    for codec in CODECS {
        let mut records = String::new();
        for n in 0..UPDATES_PER_ROUND {
            let (key, value) = (format!("k{}", n % KEYS), format!("{codec}-{n}"));
            records.push_str(&format!("{key}={value}\n"));
            last.insert(key, value);
        }
        produce(codec, &records)?;
        wait_for_the_next_segment();
    }
    produce("none", "k0=\n")?;
    last.insert("k0".to_owned(), String::new());
    wait_for_the_next_segment();
    produce("none", "last=segment\n")?;
    last.insert("last".to_owned(), "segment".to_owned());
    Ok(last)
}

/// Few records are left, in the order of their offsets, and the last of each key is the right one.
fn is_compacted(cluster: &Cluster, topic: &str, last: &BTreeMap<String, String>) -> Result<()> {
    let args = ["-C", "-t", topic, "-e", "-q", "-f", "%o %k %s\\n"];
    let consumed = kcat(&cluster.bootstrap(), &args, "")?.success()?;
    let mut found = BTreeMap::new();
    let (mut count, mut before) = (0, -1);
    for line in consumed.stdout.lines() {
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        let offset: i64 = words.next().unwrap_or_default().parse()?;
        ensure!(offset > before, "{offset} comes after {before}");
        (count, before) = (count + 1, offset);
        let (key, value) = (words.next(), words.next());
        found.insert(key.unwrap_or_default(), value.unwrap_or_default());
    }
    ensure!(found == *last, "{found:?}, expected {last:?}");
    ensure!(
        count <= 2 * last.len(),
        "{count} records are left of {}",
        CODECS.len() * UPDATES_PER_ROUND
    );
    Ok(())
}

#[test]
fn the_last_value_of_each_key_stays() -> Result<()> {
    let cluster =
        Cluster::start(Shape::new("compaction", 3).with("log.cleaner.backoff.ms", "500"))?;
    create(&cluster, "table")?;
    let last = update(&cluster, "table")?;
    eventually(TIMEOUT, || is_compacted(&cluster, "table", &last))?;

    // a replica that never saw what is gone takes over
    let file = setup::scratch("compaction").join("move.json");
    let moved = r#"{"version":1,"partitions":[{"topic":"table","partition":0,"replicas":[2]}]}"#;
    std::fs::write(&file, moved)?;
    let path = file.display().to_string();
    let class = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand";
    let bootstrap = cluster.bootstrap();
    Tool::at(class, &bootstrap)
        .args(&["--execute", "--reassignment-json-file", &path])
        .run()?;
    eventually(TIMEOUT, || {
        let listed = kcat(&bootstrap, &["-L", "-t", "table"], "")?.success()?;
        listed.line_with(&["partition 0, leader 2, replicas: 2, isrs: 2"])?;
        Ok(())
    })?;
    eventually(TIMEOUT, || is_compacted(&cluster, "table", &last))?;

    // and goes on where the old one stopped
    kcat(&bootstrap, &["-P", "-t", "table", "-K", "="], "more=1\n")?.success()?;
    let offset = CODECS.len() * UPDATES_PER_ROUND + 2;
    let args = [
        "-C", "-t", "table", "-e", "-q", "-o", "-1", "-f", "%o %k\\n",
    ];
    let consumed = kcat(&bootstrap, &args, "")?.success()?;
    consumed.line_with(&[&format!("{offset} more")])?;
    Ok(())
}
