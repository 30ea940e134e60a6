//! A server before another one that lets some requests wait for ever, or tells another time.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, UNIX_EPOCH};

/// How a proxy differs from what is behind it.
#[derive(Debug, Clone)]
pub enum Twist {
    /// Requests whose first line begins so never arrive and are never answered.
    Swallow(String),
    /// The clock behind it is slow by so much: what answers say of now and of when objects were written.
    Slow(Duration),
}

/// Headers that tell a time, each in the one format of HTTP and of one length.
const TIMES: [&str; 2] = ["\r\ndate: ", "\r\nlast-modified: "];
const LENGTH: usize = "Sun, 06 Nov 1994 08:49:37 GMT".len();

/// Starts one before `url`, which lasts as long as the process; its own address.
pub fn proxy(url: &str, twist: Twist) -> String {
    let behind = url.strip_prefix("http://").unwrap().trim_end_matches('/').to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(&behind) else { continue };
            let (back, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let (there, here) = (twist.clone(), twist.clone());
            std::thread::spawn(move || {
                pass(client, server, |request| match &there {
                    Twist::Swallow(line) => !request.starts_with(line.as_bytes()),
                    Twist::Slow(_) => true,
                });
            });
            std::thread::spawn(move || {
                pass(back, to, |answer| {
                    if let Twist::Slow(by) = here {
                        set_back(answer, by);
                    }
                    true
                });
            });
        }
    });
    address
}

/// Passes everything on that `may` lets through. What it refuses ends there, and the sender waits: a
/// client sends nothing behind a request that is not answered.
fn pass(mut from: TcpStream, mut to: TcpStream, mut may: impl FnMut(&mut [u8]) -> bool) {
    let mut part = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut part) {
        if !may(&mut part[..length]) {
            continue;
        }
        if to.write_all(&part[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Sets the times in the head of an answer back.
fn set_back(answer: &mut [u8], by: Duration) {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(answer.len());
    let lower = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
    for name in TIMES {
        let Some(at) = lower.find(name).map(|at| at + name.len()) else { continue };
        let told = std::str::from_utf8(&answer[at..at + LENGTH]).unwrap();
        let told = httpdate::parse_http_date(told).unwrap();
        let slow = httpdate::fmt_http_date(told.max(UNIX_EPOCH + by) - by);
        answer[at..at + LENGTH].copy_from_slice(slow.as_bytes());
    }
}
