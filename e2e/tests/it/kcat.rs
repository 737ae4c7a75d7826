//! kcat, as people use it first: keys, headers, groups, compression, offsets.

use anyhow::{Result, ensure};
use ottla_e2e::client::kcat::kcat;

use crate::shared::{bootstrap, fill, topic};

#[test]
fn keys_headers_and_nulls_come_back() -> Result<()> {
    let topic = topic("kcat-headers", 1);
    let produce = [
        "-P", "-t", &topic, "-K", "=", "-Z", "-H", "trace=7", "-H", "empty=",
    ];
    kcat(&bootstrap(), &produce, "one=first\ntwo=\n=third\n")?.success()?;
    let format = "%o|%k|%K|%s|%S|%h\\n";
    let consume = ["-C", "-t", &topic, "-e", "-q", "-f", format];
    let consumed = kcat(&bootstrap(), &consume, "")?.success()?;
    let lines: Vec<_> = consumed.stdout.lines().collect();
    let expected = [
        "0|one|3|first|5|trace=7,empty=",
        "1|two|3||-1|trace=7,empty=",
        "2||-1|third|5|trace=7,empty=",
    ];
    ensure!(lines == expected, "{lines:#?}");
    Ok(())
}

#[test]
fn records_of_one_key_stay_in_one_partition_in_order() -> Result<()> {
    let topic = topic("kcat-order", 4);
    let records: String = (0..400).map(|n| format!("key-{}={n}\n", n % 10)).collect();
    kcat(&bootstrap(), &["-P", "-t", &topic, "-K", "="], &records)?.success()?;
    let consume = ["-C", "-t", &topic, "-e", "-q", "-f", "%k %p %s\\n"];
    let consumed = kcat(&bootstrap(), &consume, "")?.success()?;
    for key in 0..10 {
        let name = format!("key-{key} ");
        let of_key = consumed
            .stdout
            .lines()
            .filter(|line| line.starts_with(&name));
        let (places, numbers): (Vec<_>, Vec<_>) = of_key
            .filter_map(|line| line[name.len()..].split_once(' '))
            .unzip();
        ensure!(
            places.iter().all(|place| *place == places[0]),
            "{name}in {places:?}"
        );
        let expected: Vec<_> = (0..40).map(|n| (n * 10 + key).to_string()).collect();
        ensure!(numbers == expected, "{name}has {numbers:?}");
    }
    Ok(())
}

#[test]
fn a_group_goes_on_where_it_stopped() -> Result<()> {
    let topic = topic("kcat-group", 2);
    let group = format!("{topic}-group");
    let read = |count: &str| -> Result<Vec<u32>> {
        let from_start = ["-X", "auto.offset.reset=earliest"];
        let args = [
            &["-G", &group][..],
            &from_start,
            &["-q", "-c", count, &topic],
        ]
        .concat();
        let output = kcat(&bootstrap(), &args, "")?.success()?;
        Ok(output
            .stdout
            .lines()
            .filter_map(|line| line.parse().ok())
            .collect())
    };
    fill(&topic, 0, 10);
    let mut first = read("10")?;
    first.sort_unstable();
    ensure!(first == (0..10).collect::<Vec<_>>(), "{first:?}");
    fill(&topic, 1, 5);
    let mut second = read("5")?;
    second.sort_unstable();
    ensure!(
        second == (0..5).collect::<Vec<_>>(),
        "what was read before is not read again"
    );
    Ok(())
}

#[test]
fn every_compression_passes_through() -> Result<()> {
    let topic = topic("kcat-codecs", 1);
    let line = "the same words again and again ".repeat(20);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let records = format!("{codec} {line}\n").repeat(50);
        let output = kcat(&bootstrap(), &["-P", "-t", &topic, "-z", codec], &records)?;
        // a kcat built without one of them says so and proves nothing about the broker
        if !output.stderr.contains("not supported") && !output.stderr.contains("Unsupported") {
            output.success()?;
            let consume = ["-C", "-t", &topic, "-e", "-q"];
            let consumed = kcat(&bootstrap(), &consume, "")?.success()?;
            let count = consumed
                .stdout
                .lines()
                .filter(|l| l.starts_with(codec))
                .count();
            ensure!(count == 50, "{codec}: {count} of 50");
        }
    }
    Ok(())
}

#[test]
fn offsets_by_position_and_by_time() -> Result<()> {
    let topic = topic("kcat-offsets", 1);
    fill(&topic, 0, 100);
    let read = |offset: &str| -> Result<String> {
        let args = [
            "-C", "-t", &topic, "-p", "0", "-o", offset, "-c", "1", "-e", "-q",
        ];
        Ok(kcat(&bootstrap(), &args, "")?
            .success()?
            .stdout
            .trim()
            .to_string())
    };
    ensure!(read("42")? == "42");
    ensure!(read("-1")? == "99");
    ensure!(
        read("s@1")? == "0",
        "the first record at or after a time long ago"
    );
    Ok(())
}

#[test]
fn metadata_lists_brokers_and_partitions() -> Result<()> {
    let topic = topic("kcat-metadata", 6);
    let listed = kcat(&bootstrap(), &["-L", "-t", &topic], "")?.success()?;
    listed.line_with(&["3 brokers:"])?;
    listed.line_with(&[&format!("topic \"{topic}\" with 6 partitions")])?;
    let mut leaders: Vec<_> = listed
        .stdout
        .lines()
        .filter_map(|line| line.split("leader ").nth(1)?.split(',').next())
        .collect();
    leaders.sort_unstable();
    ensure!(
        leaders == ["0", "0", "1", "1", "2", "2"],
        "leaders are spread: {leaders:?}"
    );
    Ok(())
}

#[test]
fn an_internal_topic_is_not_for_clients_to_write() -> Result<()> {
    let topic = topic("kcat-internal", 1);
    fill(&topic, 0, 3);
    // the first group makes the topic of the offsets
    let group = format!("{topic}-group");
    let args = [
        "-X",
        "auto.offset.reset=earliest",
        "-G",
        &group,
        "-c",
        "3",
        &topic,
    ];
    kcat(&bootstrap(), &args, "")?.success()?;
    let args = [
        "-P",
        "-t",
        "__consumer_offsets",
        "-X",
        "message.timeout.ms=20000",
    ];
    let refused = kcat(&bootstrap(), &args, "mine\n")?;
    refused.line_with(&["Invalid topic"])?;
    Ok(())
}
