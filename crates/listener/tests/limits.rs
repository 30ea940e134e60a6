//! Connections that ask for nothing do not keep others out.

// Helpers fail like the tests that call them.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use parallax_listener::{Limits, Listener};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

const SHORT: Duration = Duration::from_millis(100);
const MUCH: usize = 64 << 20;

async fn server(limits: Limits) -> SocketAddr {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = Listener::bind(any, limits).await.unwrap();
    let address = listener.address().unwrap();
    let routes = Router::new()
        .route("/", get(|| async { "here" }))
        .route("/much", get(|| async { vec![0u8; MUCH] }));
    tokio::spawn(listener.serve(routes, CancellationToken::new(), Duration::from_secs(1)));
    address
}

async fn connect(address: SocketAddr, sent: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    stream
}

/// What comes until the server closes, which it does far earlier than by default.
async fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let reading = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes));
    reading.await.expect("the server closes").unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_head_that_does_not_end_is_hung_up_on() {
    let address = server(Limits { head: SHORT, ..Limits::default() }).await;
    for sent in ["", "GET / HT", "GET / HTTP/1.1\r\nhost: x\r\n"] {
        assert_eq!(rest(connect(address, sent).await).await, "", "{sent:?}");
    }
}

#[tokio::test]
async fn a_connection_that_asks_for_no_more_is_hung_up_on() {
    // Long enough for the one request that it does ask.
    let head = Duration::from_secs(2);
    let address = server(Limits { head, ..Limits::default() }).await;
    let answer = rest(connect(address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer}");
}

#[tokio::test]
async fn more_connections_than_allowed_wait_for_one_to_end() {
    let address = server(Limits { connections: 3, ..Limits::default() }).await;
    let mut idle = Vec::new();
    for _ in 0..3 {
        idle.push(connect(address, "").await);
    }
    let ask = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut next = connect(address, ask).await;
    let early = tokio::time::timeout(2 * SHORT, next.read_u8()).await;
    assert!(early.is_err(), "a fourth one was taken");
    idle.pop();
    let answer = rest(next).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_hung_up_on() {
    let limits = Limits { connections: 1, stall: SHORT, ..Limits::default() };
    let address = server(limits).await;
    let deaf = connect(address, "GET /much HTTP/1.1\r\nhost: x\r\n\r\n").await;
    // Its place is free again.
    let ask = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = rest(connect(address, ask).await).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(deaf);
}
