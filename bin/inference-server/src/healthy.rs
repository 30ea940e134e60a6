//! `inference-server healthy`: a health check for images that have no other program to ask with.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

const PATIENCE: Duration = Duration::from_secs(3);

/// Asks `/livez`.
///
/// # Errors
/// When nobody answers, or the answer is not 200.
pub(crate) fn ask(address: SocketAddr) -> Result<()> {
    let address = here(address);
    let named = || format!("HEALTH_ADDRESS {address}");
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).with_context(named)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET /livez HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(64 << 10).read_to_end(&mut answer).with_context(named)?;
    let answer = String::from_utf8_lossy(&answer);
    if answer.split_whitespace().nth(1) == Some("200") {
        return Ok(());
    }
    bail!("{address} answered: {}", answer.lines().last().unwrap_or_default())
}

/// Where this machine reaches a server that listens on every address.
fn here(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
