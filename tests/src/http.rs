//! One HTTP request to a server on the loopback.

use std::io::{Read, Write};
use std::net::TcpStream;

/// Asks `address` (a host and port, with or without `http://`) for a page; the status and the body.
pub(crate) fn ask(address: &str, method: &str, page: &str) -> (u16, String) {
    let address = address.strip_prefix("http://").unwrap_or(address);
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "{method} {page} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}
