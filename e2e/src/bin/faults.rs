//! `faults [WORD ...]`: the fault table, row by row (those whose test has one of the words): what
//! was done to real brokers under load, what is promised, what was measured. A whole run writes its
//! table into docs/reliability.md; a row that breaks its promise ends the run with 1.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use ottla_e2e::setup;

/// What is done, what is promised, and the test that does it.
struct Row(&'static str, &'static str, &'static str);

const ROWS: [Row; 29] = [
    Row(
        "each broker killed in turn (kill -9)",
        "a partition stands for 3 s at most",
        "failover::each_broker_killed_under_load",
    ),
    Row(
        "a leader of 1,000 of 3,000 partitions killed, 20 times",
        "a partition stands for 1 s at most",
        "faults::many::a_leader_of_a_thousand_killed_twenty_times",
    ),
    Row(
        "all brokers killed at once",
        "goes on by itself",
        "failover::all_brokers_killed_at_once",
    ),
    Row(
        "all brokers of 10,000 partitions killed at once",
        "goes on by itself",
        "faults::many::all_brokers_of_ten_thousand_killed",
    ),
    Row(
        "a broker stopped and started (SIGTERM)",
        "no error",
        "failover::a_broker_stopped_by_sigterm_hands_over",
    ),
    Row(
        "each broker stopped in turn (SIGTERM), retries=0",
        "no error; a partition stands for 2 s at most",
        "failover::a_roll_by_sigterm_shows_no_client_an_error",
    ),
    Row(
        "power cut of each broker in turn",
        "joins again, cuts its tail only",
        "faults::power::of_each_broker_in_turn",
    ),
    Row(
        "power cut of all brokers at one moment",
        "nothing acknowledged is lost",
        "faults::power::of_all_at_once",
    ),
    Row(
        "the same with Apache Kafka (the control)",
        "loses what was in the page cache",
        "faults::power::of_all_at_once_with_apache_kafka",
    ),
    Row(
        "power cut of a leader that is cut off (KIP-966)",
        "nothing committed is cut",
        "faults::power::of_the_last_replica_standing",
    ),
    Row(
        "a broker paused for 6 s (SIGSTOP, SIGCONT)",
        "others lead",
        "failover::a_broker_that_hangs_is_left_behind_and_comes_back",
    ),
    Row(
        "a broker cut off from the others, not from clients",
        "others lead within 3 s; whole 5 s after healing",
        "faults::network::a_broker_is_cut_off_from_the_others",
    ),
    Row(
        "the same, it hears nobody",
        "others lead within 3 s; whole 5 s after healing",
        "faults::network::a_broker_hears_the_others_no_more",
    ),
    Row(
        "the same, nobody hears it",
        "others lead within 3 s; whole 5 s after healing",
        "faults::network::the_others_hear_a_broker_no_more",
    ),
    Row(
        "two of three brokers cut off from each other",
        "goes on after replica.lag.time.max.ms (10 s)",
        "faults::network::two_brokers_are_cut_off_from_each_other",
    ),
    Row(
        "each of three hears one neighbour only",
        "whole 5 s after healing",
        "faults::network::each_hears_one_neighbour_only",
    ),
    Row(
        "a broker cut off from clients only",
        "whole once it is healed",
        "faults::network::a_broker_is_cut_off_from_clients",
    ),
    Row(
        "1 packet in 100 lost",
        "goes on",
        "faults::network::one_packet_in_a_hundred_is_lost",
    ),
    Row(
        "5 packets in 100 lost",
        "goes on",
        "faults::network::five_packets_in_a_hundred_are_lost",
    ),
    Row(
        "20 packets in 100 lost",
        "goes on",
        "faults::network::twenty_packets_in_a_hundred_are_lost",
    ),
    Row(
        "links of 8 Mbit/s with a queue of 0.5 s",
        "goes on",
        "faults::network::links_are_narrow_and_slow",
    ),
    Row(
        "a disk that hangs for 15 s",
        "others lead within 20 s (twice the lag limit)",
        "faults::disk::hangs_for_fifteen_seconds",
    ),
    Row(
        "a disk that takes 100 kB/s",
        "goes on after the lag limit (10 s)",
        "faults::disk::writes_a_tenth_of_what_comes",
    ),
    Row(
        "a full disk that gets room after 12 s",
        "reads go on, writes by themselves again",
        "faults::disk::is_full_and_gets_room_again",
    ),
    Row(
        "a disk that fails (EIO), replaced by an empty one",
        "others lead; it is filled again",
        "faults::disk::fails_and_is_replaced",
    ),
    Row(
        "garbage behind the last write, after a crash",
        "cut off, the rest is kept",
        "faults::disk::ends_in_garbage_after_a_crash",
    ),
    Row(
        "the active controller killed three times",
        "another within 1 s",
        "faults::quorum::its_leader_is_killed_three_times",
    ),
    Row(
        "each voter in turn with an empty disk",
        "votes again once it has caught up",
        "faults::quorum::each_voter_in_turn_loses_its_disk",
    ),
    Row(
        "two of three voters with empty disks",
        "say what they wait for, go on with one of the disks",
        "faults::quorum::two_of_three_voters_lose_their_disks",
    ),
];

/// What the table in docs/reliability.md is between.
const MARKS: (&str, &str) = (
    "<!-- faults: written by make faults -->\n",
    "<!-- end of the faults -->",
);

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let is_wanted =
        |row: &&Row| words.is_empty() || words.iter().any(|w| row.2.contains(w.as_str()));
    let rows: Vec<&Row> = ROWS.iter().filter(is_wanted).collect();
    ensure!(
        !rows.is_empty(),
        "no row has a test with {words:?} in its name"
    );
    let mut table = String::from("| what is done | promised | measured |\n|---|---|---|\n");
    let mut failed = 0;
    for row in &rows {
        let began = Instant::now();
        let (holds, measured) = run(row)?;
        failed += usize::from(!holds);
        let verdict = if holds { "ok" } else { "FAILED" };
        let seconds = began.elapsed().as_secs();
        println!(
            "{verdict:<6} {} ({seconds} s)\n       promised: {}\n       measured: {measured}",
            row.0, row.1
        );
        let broken = if holds { "" } else { "**broken**: " };
        table += &format!("| {} | {} | {broken}{measured} |\n", row.0, row.1);
    }
    println!("{} rows, {failed} failed", rows.len());
    if words.is_empty() {
        write(&table)?;
    }
    ensure!(failed == 0, "{failed} rows break their promise");
    Ok(())
}

/// Whether the promise holds, and what was measured.
fn run(row: &Row) -> Result<(bool, String)> {
    let output = Command::new("cargo")
        .args(["test", "-q", "-p", "ottla-e2e", "--test", "it", "--"])
        .args(["--exact", row.2, "--nocapture"])
        .current_dir(setup::checkout())
        .output()
        .context("starting cargo")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        !said.contains("running 0 tests"),
        "there is no test {}",
        row.2
    );
    let measured = said
        .lines()
        .filter_map(|line| line.split_once("measured: "))
        .next_back()
        .map(|(_, measured)| measured.to_string());
    if !output.status.success() {
        println!("{}", ottla_e2e::process::tail(&said));
        println!(
            "{}",
            ottla_e2e::process::tail(&String::from_utf8_lossy(&output.stderr))
        );
    }
    let measured = measured.unwrap_or_else(|| "nothing: see its log".into());
    Ok((output.status.success(), measured))
}

fn write(table: &str) -> Result<()> {
    let path = setup::checkout().join("docs/reliability.md");
    let page = std::fs::read_to_string(&path)?;
    let (before, rest) = page
        .split_once(MARKS.0)
        .context("the table's beginning is marked")?;
    let Some((_, after)) = rest.split_once(MARKS.1) else {
        bail!("the table's end is marked");
    };
    let page = [before, MARKS.0, table, MARKS.1, after].concat();
    Ok(std::fs::write(path, page)?)
}
