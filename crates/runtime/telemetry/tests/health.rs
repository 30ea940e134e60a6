//! The health server as a probe sees it.

// Helpers fail like the tests that call them.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parallax_listener::Limits;
use parallax_telemetry::{HealthServer, PrometheusMetrics};
use parallax_telemetry_api::MetricsSink;
use parallax_telemetry_api::health::{Beats, Flags};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

struct Server {
    address: SocketAddr,
    beats: Beats,
    flags: Flags,
    metrics: Arc<PrometheusMetrics>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

async fn server() -> Server {
    server_with(|server| server).await
}

async fn server_with(change: impl FnOnce(HealthServer) -> HealthServer) -> Server {
    let (beats, flags) = (Beats::default(), Flags::default());
    let metrics = Arc::new(PrometheusMetrics::new().unwrap());
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = HealthServer::bind(any, beats.clone(), flags.clone(), metrics.clone());
    let server = change(server.await.unwrap());
    let (address, stop) = (server.address().unwrap(), CancellationToken::new());
    assert_ne!(address.port(), 0);
    let task = tokio::spawn(server.serve(stop.clone()));
    Server { address, beats, flags, metrics, stop, task }
}

/// The status line's code, the head and the body.
async fn get(server: &Server, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
}

/// Lets time pass for everybody, without waiting for it.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

fn json(body: &str) -> serde_json::Value {
    serde_json::from_str(body).unwrap()
}

#[tokio::test]
async fn a_stuck_loop_is_named_until_it_beats_again() {
    let server = server().await;
    assert_eq!(get(&server, "/livez").await.0, 200, "nothing runs yet");
    let quick = server.beats.register("segments", Duration::from_secs(400));
    let _slow = server.beats.register("reconcile", Duration::from_secs(4000));
    assert_eq!(get(&server, "/livez").await.0, 200);
    pass(Duration::from_secs(800)).await;
    let (code, head, body) = get(&server, "/livez").await;
    assert_eq!(code, 503, "{body}");
    assert!(head.contains("application/json"), "{head}");
    let body = json(&body);
    assert_eq!(body["status"], "stuck");
    assert_eq!(body["loops"]["segments"]["allowed_seconds"], 400.0);
    assert!(body["loops"]["segments"]["last_beat_seconds_ago"].as_f64().unwrap() >= 800.0);
    assert!(body["loops"].get("reconcile").is_none());
    quick.tick();
    assert_eq!(get(&server, "/livez").await.0, 200);
    quick.finish();
    pass(Duration::from_secs(800)).await;
    assert_eq!(get(&server, "/livez").await.0, 200, "a loop that ended is not missed");
}

#[tokio::test]
async fn readiness_says_what_it_waits_for() {
    let server = server().await;
    assert_eq!(get(&server, "/readyz").await.0, 200);
    let ledger = server.flags.register("ledger", "not read yet");
    let breaker = server.flags.register("breaker", "starting");
    breaker.raise();
    let (code, _, body) = get(&server, "/readyz").await;
    assert_eq!(
        (code, json(&body)["reasons"].clone()),
        (503, serde_json::json!({"ledger": "not read yet"}))
    );
    assert_eq!(get(&server, "/livez").await.0, 200, "not ready is not dead");
    ledger.raise();
    assert_eq!(get(&server, "/readyz").await.0, 200);
    breaker.lower("access denied");
    assert!(get(&server, "/readyz").await.2.contains("access denied"));
}

#[tokio::test]
async fn numbers_are_scraped() {
    let server = server().await;
    server.metrics.count("parallax_messages_total", &[("queue", "work")], 3);
    let (code, head, body) = get(&server, "/metrics").await;
    assert_eq!(code, 200);
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("parallax_messages_total{queue=\"work\"} 3"), "{body}");
    assert_eq!(get(&server, "/other").await.0, 404);
}

#[tokio::test]
async fn it_stops_even_when_a_client_does_not() {
    let server = server().await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"GET /livez HT").await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    server.stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(5), server.task).await;
    ended.expect("stops soon").unwrap();
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn connections_that_ask_for_nothing_do_not_pile_up() {
    let head = Duration::from_millis(100);
    let server =
        server_with(|server| server.with_limits(Limits { head, ..Limits::default() })).await;
    for sent in ["", "GET /livez HT"] {
        let mut idle = TcpStream::connect(server.address).await.unwrap();
        idle.write_all(sent.as_bytes()).await.unwrap();
        let closed = tokio::time::timeout(Duration::from_secs(20), idle.read_u8()).await;
        closed.expect("is hung up on").unwrap_err();
    }
}

#[tokio::test]
async fn a_probe_is_answered_whoever_holds_every_connection() {
    // Nobody is hung up on for being slow while this test has patience.
    let long = Duration::from_secs(600);
    let limits = Limits { connections: 64, head: long, stall: long };
    let server = server_with(|server| server.with_limits(limits)).await;
    let mut held = Vec::new();
    for n in 0..64 {
        let mut idle = TcpStream::connect(server.address).await.unwrap();
        let sent = ["", "GET /livez HT"][n % 2];
        idle.write_all(sent.as_bytes()).await.unwrap();
        held.push(idle);
    }
    for page in ["/livez", "/metrics", "/livez"] {
        let answer = tokio::time::timeout(Duration::from_secs(60), get(&server, page)).await;
        assert_eq!(answer.expect("it is answered").0, 200);
    }
    // The first of them made room, and no more than were in the way.
    let closed = held[0].read_u8();
    let closed = tokio::time::timeout(Duration::from_secs(60), closed).await;
    closed.expect("is hung up on").unwrap_err();
    let open = tokio::time::timeout(Duration::from_millis(100), held[40].read_u8()).await;
    assert!(open.is_err(), "it was in nobody's way");
}

#[tokio::test]
async fn an_address_in_use_is_an_error() {
    let server = server().await;
    let again = HealthServer::bind(
        server.address,
        Beats::default(),
        Flags::default(),
        server.metrics.clone(),
    );
    assert!(again.await.is_err());
}
