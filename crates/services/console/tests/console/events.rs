//! Live views: one reader of the stores however many look, none while nobody does, and nothing missed.

use std::time::Duration;

use parallax_job::JobStatus;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::served::{Served, USUAL};

/// The next events of a stream, up to one that holds `wanted`; what was read until then.
async fn until(stream: &mut TcpStream, wanted: &str) -> String {
    let (mut read, mut some) = (String::new(), [0; 16 << 10]);
    while !read.contains(wanted) {
        let length = stream.read(&mut some).await.unwrap();
        assert!(length > 0, "the stream ended without {wanted:?}: {read}");
        read.push_str(&String::from_utf8_lossy(&some[..length]));
    }
    read
}

fn last_id(read: &str) -> String {
    let mut ids = read.lines().filter_map(|line| line.strip_prefix("id: "));
    ids.next_back().unwrap().to_owned()
}

#[tokio::test]
async fn a_view_comes_at_once_and_again_when_it_has_changed() {
    let served = Served::start(USUAL).await;
    let mut stream = served.open("GET", "/events/", &[], b"").await;
    let first = until(&mut stream, "0 under way").await;
    assert!(first.contains("event: view"), "{first}");
    served.job("job-1", JobStatus::ChunkingComplete, 2).await;
    let second = until(&mut stream, "1 under way").await;
    assert_ne!(last_id(&first), last_id(&second));
    drop(stream);
    // Whoever comes back with the view that there is hears of the next one only.
    let mut stream = served.open("GET", "/events/", &[], b"").await;
    let whole = until(&mut stream, "1 under way").await;
    let id = last_id(&whole);
    let mut resumed = served.open("GET", "/events/", &[("last-event-id", &id)], b"").await;
    served.job("job-2", JobStatus::ChunkingComplete, 2).await;
    let next = until(&mut resumed, "2 under way").await;
    assert!(!next.contains("1 under way"), "nothing twice: {next}");
    for foreign in ["x", "0-1", "0000000000000000-1", ""] {
        let mut other = served.open("GET", "/events/", &[("last-event-id", foreign)], b"").await;
        until(&mut other, "2 under way").await;
    }
    served.stop().await;
}

#[tokio::test]
async fn a_hundred_consoles_share_one_reader_and_nobody_costs_nothing() {
    let served = Served::start(USUAL).await;
    let begun = tokio::time::Instant::now();
    let mut streams = Vec::new();
    for _ in 0..100 {
        streams.push(served.open("GET", "/events/", &[], b"").await);
    }
    for stream in &mut streams {
        until(stream, "0 under way").await;
    }
    served.job("job-1", JobStatus::ChunkingComplete, 2).await;
    for stream in &mut streams {
        until(stream, "1 under way").await;
    }
    // Each look asks once who holds a permit, and the next comes after a pause.
    let looks = served.faults.trace().into_iter().filter(|name| name.contains("holders")).count();
    let longest = begun.elapsed().as_millis() / 1200 + 2;
    assert!(looks as u128 <= longest, "{looks} looks of {longest} for a hundred consoles");
    drop(streams);
    // Until the last of them is known to be gone.
    let mut last = served.faults.calls();
    loop {
        tokio::time::sleep(Duration::from_millis(2500)).await;
        let now = served.faults.calls();
        if now == last {
            break;
        }
        last = now;
    }
    served.stop().await;
}

#[tokio::test]
async fn there_are_places_for_so_many_streams_and_no_more() {
    let served = Served::start(USUAL).await;
    let mut streams = Vec::new();
    for _ in 0..128 {
        let mut stream = served.open("GET", "/events/permits", &[], b"").await;
        until(&mut stream, "event: view").await;
        streams.push(stream);
    }
    let more = served.send("GET", "/events/permits", &[], b"").await;
    assert_eq!(more.status, 429, "{more:?}");
    assert_eq!(served.get("/permits").await.status, 200, "pages are still served");
    drop(streams);
    served.stop().await;
}

#[tokio::test]
async fn streams_end_with_the_server() {
    let served = Served::start(USUAL).await;
    let mut stream = served.open("GET", "/events/queues", &[], b"").await;
    until(&mut stream, "event: view").await;
    served.stop().await;
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
}
