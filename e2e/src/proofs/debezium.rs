//! Debezium follows a table of a real PostgreSQL, exactly once, while brokers and the Connect
//! worker are killed: rows are inserted, updated and deleted in transactions of ten and of two
//! hundred changes, of which every fifth is rolled back.
//!
//! At the end the topic has each change that was committed once, those of a row in their order, and
//! what is left of it by key is the table.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::kills::{Kills, Plan};
use super::postgres::{Postgres, USER};
use super::worker::Worker;
use super::{make_topic, on_three_brokers, read};
use crate::cluster::{Cluster, eventually};
use crate::setup;
use history::{History, differences, remains};
use writer::Writer;

mod history;
mod writer;

/// Debezium's name for the table `rows`.
const TOPIC: &str = "db.public.rows";
const PARTITIONS: u16 = 3;
const CONVERTER: &str = "org.apache.kafka.connect.json.JsonConverter";
/// From one transaction to the next.
const STEP: Duration = Duration::from_millis(200);
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(120);
/// How long the last changes may take: a worker that was killed is waited for by its group, and its
/// replication slot by the server.
const REST_TIMEOUT: Duration = Duration::from_secs(300);

/// A table through Debezium under kills: what was done and found.
///
/// # Panics
/// The topic is not what was written, or by key not the table.
#[must_use]
pub fn run(plan: Plan) -> String {
    on_three_brokers("debezium", |cluster| follow(plan, cluster))
}

fn follow(plan: Plan, cluster: &mut Cluster) -> Result<String> {
    let postgres = Postgres::start(&cluster.dir().join("postgres"))?;
    let mut writer = Writer::begin(&postgres)?;
    make_topic(&cluster.bootstrap(), TOPIC, PARTITIONS)?;
    let plugins = setup::provided("proofs")?.join("connectors");
    let settings = [
        ("plugin.path", plugins.to_str().context("a path of UTF-8")?),
        ("key.converter", CONVERTER),
        ("value.converter", CONVERTER),
        ("key.converter.schemas.enable", "false"),
        ("value.converter.schemas.enable", "false"),
    ];
    let mut worker = Worker::start(cluster, &settings)?;
    let connector = connector(&postgres);
    worker.configure(&connector)?;
    // what is in the table when Debezium begins is no matter of exactly once: a snapshot that is
    // interrupted begins anew
    eventually(SNAPSHOT_TIMEOUT, || compare(cluster, &postgres, &writer))
        .with_context(|| worker.said())?;
    let mut kills = Kills::begin(plan);
    let began = Instant::now();
    while !kills.is_over() {
        worker.step(&mut kills, cluster)?;
        worker.revive(&connector)?;
        if began.elapsed() < plan.duration {
            writer.write(&postgres)?;
        }
        std::thread::sleep(STEP);
    }
    let told = kills.told();
    let compared = eventually(REST_TIMEOUT, || {
        worker.revive(&connector)?;
        compare(cluster, &postgres, &writer)
    });
    let rows = compared.with_context(|| format!("{told}\n{}", worker.said()))?;
    Ok(format!(
        "{told} (the client is the worker, {} times at work); {} tasks failed and were started \
         again; {} changes in {} transactions, and {} more that were rolled back: in the topic \
         each change that was committed, once, those of a row in order, and no other; by key it \
         is the table, {rows} rows",
        worker.killed_at_work(),
        worker.failures(),
        writer.history().changes(),
        writer.committed(),
        writer.rolled_back(),
    ))
}

fn connector(postgres: &Postgres) -> Value {
    json!({
        "name": "debezium",
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "exactly.once.support": "required",
        "database.hostname": "127.0.0.1",
        "database.port": postgres.port().to_string(),
        "database.user": USER,
        "database.dbname": USER,
        "plugin.name": "pgoutput",
        "publication.autocreate.mode": "filtered",
        "table.include.list": "public.rows",
        "topic.prefix": "db",
    })
}

/// Whether the topic is what was written, and by key the table; the answer is how many rows it has.
fn compare(cluster: &Cluster, postgres: &Postgres, writer: &Writer) -> Result<usize> {
    let mut history = History::default();
    let mut left = Vec::new();
    for partition in 0..PARTITIONS {
        let lines = read(cluster, TOPIC, partition, "%k\\t%s\\n")?;
        history.follow(&lines)?;
        left.extend(remains(&lines)?);
    }
    let found = differences(writer.history(), &history);
    ensure!(
        found.is_empty(),
        "of {} changes {} are in {TOPIC}: {}",
        writer.history().changes(),
        history.changes(),
        found.join("; ")
    );
    left.sort();
    let mut table: Vec<String> = postgres
        .sql("SELECT id, change, text FROM rows;")?
        .lines()
        .map(str::to_string)
        .collect();
    table.sort();
    let differing = left.iter().zip(&table).find(|(left, row)| left != row);
    ensure!(
        left == table,
        "by key {} rows are left of the topic, and the table has {}: {differing:?}",
        left.len(),
        table.len()
    );
    Ok(table.len())
}
