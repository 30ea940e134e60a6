//! `inference-server` as a process, spoken to byte by byte.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::process::{Running, program};

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// The process.
    pub process: Running,
    /// Where requests are answered, as `address:port`.
    pub address: String,
    /// Where its health is told, likewise.
    pub health: String,
}

/// What it answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status; 0 when the connection ended without one.
    pub status: u16,
    /// Head of the answer in lower case.
    pub head: String,
    /// Body of the answer.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().find(|line| line.starts_with(&format!("{name}:")))?;
        line.split_once(':').map(|(_, value)| value.trim())
    }
}

impl Server {
    /// Starts one with the draft engine and further `variables`, and waits until it is ready.
    /// Files below `root` may be named.
    pub fn start(root: &Path, variables: &[(&str, &str)]) -> Self {
        let mut command = program("inference-server");
        // As SageMaker starts it.
        command.arg("serve");
        command.env_remove("AWS_REGION").env("SERVER_ENGINE", "draft");
        command.env("SERVER_FILE_ROOTS", root).env("SERVER_SCRATCH", root.join(".scratch"));
        command.env("SERVER_ADDRESS", "127.0.0.1:0").env("HEALTH_ADDRESS", "127.0.0.1:0");
        command.envs(variables.iter().copied());
        let mut process = Running::start(&mut command);
        let (mut health, mut address) = (None, None);
        while address.is_none() {
            let (_, log) = process.said();
            for line in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
                let found = line["address"].as_str().map(str::to_owned);
                match line["message"].as_str() {
                    Some("health endpoints") => health = found,
                    Some("listening") => address = found,
                    _ => {}
                }
            }
            assert!(!process.has_ended(), "{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        let server = Self { process, address: address.unwrap(), health: health.unwrap() };
        while server.get("/ping").status != 200 {
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// Asks for a page.
    pub fn get(&self, page: &str) -> Answer {
        self.send(
            format!("GET {page} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                .as_bytes(),
        )
    }

    /// Posts a JSON body with further header lines.
    pub fn post(&self, page: &str, headers: &[&str], body: &str) -> Answer {
        let mut request =
            format!("POST {page} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        for header in headers.iter().chain(&["content-type: application/json"]) {
            request.push_str(header);
            request.push_str("\r\n");
        }
        request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        self.send(request.as_bytes())
    }

    /// Sends bytes and reads the answer to its end.
    pub fn send(&self, bytes: &[u8]) -> Answer {
        tell(&self.address, bytes)
    }

    /// A connection.
    pub fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).unwrap()
    }

    /// The numbers as Prometheus text.
    pub fn metrics(&self) -> String {
        let ask = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        tell(&self.health, ask).body
    }

    /// A number in the metrics, over all labels; 0 when there is none.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.metrics();
        let lines = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
        });
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }
}

/// Sends bytes to `address`, and reads the answer to its end.
pub fn tell(address: &str, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    // A server that has heard enough closes before it has read everything.
    let _ = stream.write_all(bytes);
    read(&mut stream)
}

fn read(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // A reset after the answer loses nothing of it.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    let (head, body) = (head.to_ascii_lowercase(), body.to_owned());
    Answer { status: status.unwrap_or_default(), head, body }
}
