//! The SageMaker emulator and the containers behind it, as processes.

use std::process::Command;
use std::time::Duration;

use sagemaker_emulator::Stats;

use crate::http::ask;
use crate::process::{Running, alone, program as program_of};

/// Where everything is said to be.
pub(super) const REGION: &str = "eu-west-1";

/// A service that says `listening ADDRESS` once it does.
#[derive(Debug)]
pub struct Service {
    process: Running,
    /// `http://127.0.0.1:PORT`.
    pub url: String,
}

impl Service {
    pub(super) fn start(command: &mut Command) -> Self {
        let mut process = Running::start(command);
        let address = loop {
            let (said, log) = process.said();
            // A line without its end may be half an address.
            let line = said.split_once('\n').map(|(line, _)| line);
            if let Some(address) = line.and_then(|line| line.strip_prefix("listening ")) {
                break address.to_owned();
            }
            assert!(!process.has_ended(), "{command:?}: {log}");
            std::thread::sleep(Duration::from_millis(10));
        };
        Self { process, url: format!("http://{address}") }
    }

    /// A page of it, as JSON.
    pub fn page(&self, page: &str) -> serde_json::Value {
        serde_json::from_str(&ask(&self.url, "GET", page).1).unwrap()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.process.said().1
    }
}

/// An asynchronous endpoint with its instances.
#[derive(Debug)]
pub struct Endpoint {
    service: Service,
    _containers: Vec<Service>,
}

impl Endpoint {
    pub(super) fn new(service: Service, containers: Vec<Service>) -> Self {
        Self { service, _containers: containers }
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.service.url
    }

    /// What was asked of it.
    pub fn stats(&self) -> Stats {
        serde_json::from_value(self.service.page("/stats")).unwrap()
    }
}

/// A container that copies, taking at least `run` each time; `command` has its surroundings.
pub(super) fn container(command: impl Fn(&str) -> Command, run: Duration) -> Service {
    let mut command = command("stub-container");
    Service::start(command.arg("--run-ms").arg(run.as_millis().to_string()))
}

/// The built program `name` with the variables that lead the SDK to moto. `VIDEO_WORKER` names
/// another daemon than the one beside the tests, to measure it.
pub(super) fn program(name: &str, moto: &str) -> Command {
    let other = std::env::var_os("VIDEO_WORKER").filter(|_| name == "video-worker");
    let mut command = other.map_or_else(|| program_of(name), |path| alone(Command::new(path)));
    command.env("AWS_ENDPOINT_URL", moto).env("AWS_REGION", REGION);
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command
}
