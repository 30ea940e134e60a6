//! The moto server, as a process.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::http::ask;

/// What happens to bucket events on their way, each as a probability.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventFaults {
    /// Decides everything below.
    pub seed: u64,
    /// Never delivered.
    pub lose: f64,
    /// Delivered twice.
    pub repeat: f64,
    /// Delivered up to ten seconds later.
    pub late: f64,
}

/// A server that ends with the test.
#[derive(Debug)]
pub struct Moto {
    process: Child,
    /// Where it listens: `http://127.0.0.1:PORT`.
    pub url: String,
}

impl Moto {
    /// Starts one. Needs `python3` with `moto[server]`.
    pub fn start(faults: EventFaults) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/moto_server.py");
        let mut command = Command::new("python3");
        command.arg(script).arg("--seed").arg(faults.seed.to_string());
        for (option, chance) in
            [("--lose", faults.lose), ("--repeat", faults.repeat), ("--late", faults.late)]
        {
            command.arg(option).arg(chance.to_string());
        }
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 with moto[server] is needed for these tests");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.strip_prefix("port ").expect("moto starts").trim();
        let url = format!("http://127.0.0.1:{port}");
        Self { process, url }
    }

    /// How often each operation was called since [`Self::forget_calls`].
    pub fn calls(&self) -> BTreeMap<String, u64> {
        serde_json::from_str(&ask(&self.url, "GET", "/calls").1).unwrap()
    }

    /// Begins to count calls anew.
    pub fn forget_calls(&self) {
        ask(&self.url, "DELETE", "/calls");
    }

    /// Write units of DynamoDB since the start, by table and kind of item.
    pub fn units(&self) -> BTreeMap<String, u64> {
        serde_json::from_str(&ask(&self.url, "GET", "/units").1).unwrap()
    }

    /// The largest item of each kind, in bytes.
    pub fn sizes(&self) -> BTreeMap<String, u64> {
        serde_json::from_str(&ask(&self.url, "GET", "/sizes").1).unwrap()
    }

    /// Events `written`, how many of them were `lost`, `repeated` or `late`, and how many are `pending`.
    pub fn events(&self) -> BTreeMap<String, u64> {
        serde_json::from_str(&ask(&self.url, "GET", "/events").1).unwrap()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
