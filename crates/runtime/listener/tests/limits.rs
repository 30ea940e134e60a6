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

const ASK: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn the_connection_that_has_been_idle_the_longest_makes_room() {
    let address = server(Limits { connections: 3, ..Limits::default() }).await;
    let silent = connect(address, "").await;
    let begun = connect(address, "GET / HT").await;
    let mut asked = connect(address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut first = [0; 15];
    asked.read_exact(&mut first).await.unwrap();
    assert!(rest(connect(address, ASK).await).await.starts_with("HTTP/1.1 200"));
    assert_eq!(rest(silent).await, "", "it waited the longest");
    // There is a slot again, and another makes it scarce.
    let fourth = connect(address, "GET /").await;
    assert!(rest(connect(address, ASK).await).await.starts_with("HTTP/1.1 200"));
    assert_eq!(rest(begun).await, "", "then the one that never finished its head");
    asked.write_all(ASK.as_bytes()).await.unwrap();
    assert!(rest(asked).await.ends_with("here"), "who had an answer later is still there");
    drop(fourth);
}

#[tokio::test]
async fn idle_connections_however_many_do_not_delay_a_request() {
    // Nobody is hung up on for being slow while this test has patience.
    let long = Duration::from_secs(600);
    let address = server(Limits { connections: 64, head: long, stall: long }).await;
    let mut idle = Vec::new();
    for n in 0..64 {
        idle.push(connect(address, if n % 2 == 0 { "" } else { "GET /live" }).await);
    }
    for _ in 0..100 {
        assert!(rest(connect(address, ASK).await).await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn of_many_who_ask_at_once_none_is_sent_away() {
    let address = server(Limits { connections: 2, ..Limits::default() }).await;
    let mut asking = Vec::new();
    // All are there before the server looks.
    for _ in 0..60 {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        std::io::Write::write_all(&mut stream, ASK.as_bytes()).unwrap();
        stream.set_nonblocking(true).unwrap();
        asking.push(TcpStream::from_std(stream).unwrap());
    }
    for asking in asking {
        assert!(rest(asking).await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn a_request_in_progress_is_waited_for() {
    let address = server(Limits { connections: 1, ..Limits::default() }).await;
    let mut slow = connect(address, "GET /much HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut some = vec![0; MUCH / 64];
    slow.read_exact(&mut some).await.unwrap();
    let mut next = connect(address, ASK).await;
    // Longer than an idle one would have stayed.
    let early = tokio::time::timeout(6 * SHORT, next.read_u8()).await;
    assert!(early.is_err(), "a second one was taken");
    let mut bytes = some.len();
    // Its answer is whole, and then it is idle and makes room.
    loop {
        match slow.read(&mut some).await.unwrap() {
            0 => break,
            more => bytes += more,
        }
    }
    assert!(bytes > MUCH, "{bytes} bytes of {MUCH} and a head");
    assert!(rest(next).await.starts_with("HTTP/1.1 200"));
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
