//! `video-worker` as a process, and its state folder.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::http::ask;
use crate::process::{Running, program};

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    /// The process.
    pub process: Running,
    address: String,
}

impl Daemon {
    /// Starts one over `state` with further `variables`, and waits until it is ready.
    pub fn start(state: &Path, variables: &[(&str, &str)]) -> Self {
        let mut command = program("video-worker");
        command.env("PLATFORM", "local").env("STATE_DIR", state).env("TMPDIR", state);
        command.env("HEALTH_ADDRESS", "127.0.0.1:0").envs(variables.iter().copied());
        Self::run(&mut command)
    }

    /// Starts one as `command` says, which asks for a free port, and waits until it is ready. One that
    /// its surroundings were too slow for is started again, as a platform does.
    pub fn run(command: &mut Command) -> Self {
        let mut process = Running::start(command);
        let address = loop {
            let (_, log) = process.said();
            let line = log.lines().find(|line| line.contains("\"health endpoints\""));
            let line = line.and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            if let Some(address) = line.as_ref().and_then(|line| line["address"].as_str()) {
                break address.to_owned();
            }
            if process.has_ended() {
                let (_, log) = process.said();
                assert!(log.contains("is it reachable?"), "{log}");
                process = Running::start(command);
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let daemon = Self { process, address };
        while daemon.get("/readyz").0 != 200 {
            std::thread::sleep(Duration::from_millis(20));
        }
        daemon
    }

    /// Asks for a page; the status and the body.
    pub fn get(&self, page: &str) -> (u16, String) {
        ask(&self.address, "GET", page)
    }

    /// A number in `/metrics`, over all labels; 0 when there is none.
    pub fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let lines = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
        });
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }
}

/// The metric of completed segments, for [`Daemon::metric`].
pub const COMPLETED: &str = "parallax_segments_total{outcome=\"completed\"}";

/// What a daemon's log says it completed: job and segment index.
pub fn completions_told(log: &str) -> Vec<(String, u64)> {
    let lines = log.lines().filter(|line| line.contains("\"segment completed\""));
    lines
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .map(|line| {
            let job_id = line["job_id"].as_str().unwrap().to_owned();
            (job_id, line["segment_index"].as_u64().unwrap())
        })
        .collect()
}
