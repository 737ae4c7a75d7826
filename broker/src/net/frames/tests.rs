use tokio::io::{AsyncWriteExt, DuplexStream};

use super::*;

async fn next(
    reader: &mut FrameReader,
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Frame, Error> {
    loop {
        if let Some(frame) = reader.buffered()? {
            return Ok(frame);
        }
        std::future::poll_fn(|cx| reader.poll_fill(stream, cx)).await?;
    }
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(body);
    bytes
}

#[tokio::test]
async fn frames_of_every_size_come_out_as_they_went_in() {
    let sizes = [
        0,
        1,
        5,
        8 * 1024,
        8 * 1024 + 1,
        16 * 1024,
        100_000,
        3,
        1_000_000,
        7,
    ];
    let bodies: Vec<Vec<u8>> = sizes
        .iter()
        .map(|n| (0..*n).map(|i| i as u8).collect())
        .collect();
    let all: Vec<u8> = bodies.iter().flat_map(|body| framed(body)).collect();
    for chunk in [1 << 20, 4096, 13] {
        let (mut client, mut server) = tokio::io::duplex(chunk);
        let all = all.clone();
        let writer = tokio::spawn(async move { client.write_all(&all).await.unwrap() });
        let accounts = Accounts::new(1 << 30);
        let mut reader = FrameReader::new(1 << 20, accounts.clone());
        for body in &bodies {
            let frame = next(&mut reader, &mut server).await.unwrap();
            assert_eq!(frame.bytes, body[..]);
        }
        assert_eq!(accounts.taken(), 0);
        writer.await.unwrap();
        assert!(matches!(
            next(&mut reader, &mut server).await,
            Err(Error::Closed)
        ));
    }
}

#[tokio::test]
async fn a_hostile_length_is_refused_and_costs_no_memory() {
    let refused = |declared: i32| async move {
        let (mut client, mut server) = tokio::io::duplex(64);
        client.write_i32(declared).await.unwrap();
        drop(client);
        let mut reader = FrameReader::new(100 << 20, Accounts::new(1 << 30));
        let error = next(&mut reader, &mut server).await.unwrap_err();
        (
            error,
            reader.large.map_or(0, |large| large.bytes.capacity()),
        )
    };
    assert!(matches!(
        refused(-1).await.0,
        Error::Length { length: -1, .. }
    ));
    assert!(matches!(refused(i32::MAX).await.0, Error::Length { .. }));
    let (error, capacity) = refused(90 << 20).await;
    assert!(matches!(error, Error::Truncated));
    assert!(capacity <= READ_BYTES, "{capacity}");
}

/// A reader that has been sent the length of a frame and its first bytes.
async fn begun(accounts: &Accounts, length: u32, sent: usize) -> (FrameReader, DuplexStream) {
    let (mut client, mut server) = tokio::io::duplex(1 << 20);
    let bytes = [&length.to_be_bytes()[..], &vec![0; sent]].concat();
    client.write_all(&bytes).await.unwrap();
    let mut reader = FrameReader::new(100 << 20, accounts.clone());
    let read = std::future::poll_fn(|context| reader.poll_fill(&mut server, context));
    read.await.unwrap();
    assert!(reader.buffered().unwrap().is_none());
    (reader, client)
}

#[tokio::test]
async fn huge_frames_that_are_never_finished_hold_up_no_others() {
    let accounts = Accounts::new(256 << 20);
    let mut stalled = Vec::new();
    for _ in 0..3 {
        stalled.push(begun(&accounts, 90 << 20, 9000).await);
    }
    assert!(stalled[0].0.is_inside_frame(), "its client is awaited");
    assert!(!stalled[1].0.is_inside_frame(), "it waits for the account");
    let (mut client, mut server) = tokio::io::duplex(1 << 20);
    client.write_all(&framed(&vec![7; 100_000])).await.unwrap();
    let mut reader = FrameReader::new(100 << 20, accounts.clone());
    let frame = next(&mut reader, &mut server).await.unwrap();
    assert_eq!(frame.bytes.len(), 100_000);
}

#[tokio::test]
async fn small_frames_count_and_the_next_read_waits_for_them() {
    let accounts = Accounts::new(64 << 10);
    let (mut client, mut server) = tokio::io::duplex(1 << 20);
    let mut reader = FrameReader::new(1 << 20, accounts.clone());
    for _ in 0..16 {
        client.write_all(&framed(&[1; 4000])).await.unwrap();
    }
    let mut frames = Vec::new();
    let limit = std::time::Duration::from_millis(20);
    while let Ok(frame) = tokio::time::timeout(limit, next(&mut reader, &mut server)).await {
        frames.push(frame.unwrap());
    }
    assert!((8..16).contains(&frames.len()), "{}", frames.len());
    assert!(accounts.taken() <= (32 << 10) + READ_BYTES);
    frames.clear();
    next(&mut reader, &mut server).await.unwrap();
}

#[tokio::test]
async fn a_reader_that_reads_nothing_for_now_holds_up_no_others() {
    let accounts = Accounts::new(1 << 20);
    let mut all = accounts.usual.share();
    assert!(all.try_hold(accounts.usual.limit()));
    let (mut client, mut server) = tokio::io::duplex(1 << 20);
    client.write_all(&framed(&vec![7; 100_000])).await.unwrap();
    let mut paused = FrameReader::new(1 << 20, accounts.clone());
    let limit = std::time::Duration::from_millis(20);
    let waits = tokio::time::timeout(limit, next(&mut paused, &mut server)).await;
    assert!(waits.is_err(), "it is in the line");
    paused.leave_line();
    drop(all);
    let (mut client, mut other) = tokio::io::duplex(1 << 20);
    client.write_all(&framed(&vec![8; 50_000])).await.unwrap();
    let mut reader = FrameReader::new(1 << 20, accounts.clone());
    let frame = tokio::time::timeout(limit * 50, next(&mut reader, &mut other)).await;
    assert_eq!(frame.unwrap().unwrap().bytes.len(), 50_000);
    let frame = tokio::time::timeout(limit * 50, next(&mut paused, &mut server)).await;
    assert_eq!(frame.unwrap().unwrap().bytes.len(), 100_000);
}
