use tokio::io::AsyncWriteExt;

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
        let budget = Budget::new(1 << 30);
        let mut reader = FrameReader::new(1 << 20, Arc::clone(&budget));
        for body in &bodies {
            let frame = next(&mut reader, &mut server).await.unwrap();
            assert_eq!(frame.bytes, body[..]);
        }
        assert_eq!(budget.taken(), 0);
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
        let mut reader = FrameReader::new(100 << 20, Budget::new(1 << 30));
        let error = next(&mut reader, &mut server).await.unwrap_err();
        (
            error,
            reader.large.map_or(0, |(bytes, ..)| bytes.capacity()),
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
