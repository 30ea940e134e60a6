//! One job as its sender sees it.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The platform's names for where a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Status {
    InQueue,
    InProgress,
    Completed,
    Failed,
    Cancelled,
    TimedOut,
}

impl Status {
    pub(super) fn is_final(self) -> bool {
        !matches!(self, Self::InQueue | Self::InProgress)
    }
}

/// A job and what is known of it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) status: Status,
    /// Bytes that it holds.
    pub(super) bytes: usize,
    /// `output` and `error`, at the end.
    pub(super) result: Map<String, Value>,
    /// The newest update.
    pub(super) progress: Option<Value>,
    pub(super) parts: Vec<Value>,
    /// Bytes of the parts.
    pub(super) parts_bytes: usize,
    /// Parts that have been read.
    pub(super) read: usize,
    pub(super) received: Instant,
    pub(super) started: Option<Instant>,
    pub(super) ended: Option<Instant>,
    /// How long it is kept once it has ended.
    pub(super) keep: Duration,
    /// Cancelled to stop it.
    pub(super) stop: CancellationToken,
    /// Cancelled when it has ended.
    pub(super) over: CancellationToken,
}

impl Entry {
    pub(super) fn new(bytes: usize, keep: Duration, stop: CancellationToken) -> Self {
        Self {
            status: Status::InQueue,
            bytes,
            result: Map::new(),
            progress: None,
            parts: Vec::new(),
            parts_bytes: 0,
            read: 0,
            received: Instant::now(),
            started: None,
            ended: None,
            keep,
            stop,
            over: CancellationToken::new(),
        }
    }

    /// What `status` answers.
    pub(super) fn describe(&self, id: &str) -> Value {
        let mut answer = json!({"id": id, "status": self.status});
        let now = Instant::now();
        let ms = |from: Instant, to: Instant| (to - from).as_millis() as u64;
        if let Some(started) = self.started {
            answer["delayTime"] = ms(self.received, started).into();
            if let Some(ended) = self.ended {
                answer["executionTime"] = ms(started, ended.min(now)).into();
            }
        }
        if !self.status.is_final()
            && let Some(progress) = &self.progress
        {
            answer["output"] = progress.clone();
        }
        if self.status.is_final() {
            for (name, value) in &self.result {
                answer[name] = value.clone();
            }
            if !self.parts.is_empty() && !self.result.contains_key("output") {
                answer["output"] = self.parts.clone().into();
            }
        }
        answer
    }

    /// What `stream` answers: the parts that have not been read, which then have.
    pub(super) fn describe_parts(&mut self, id: &str) -> Value {
        let parts = self.parts[self.read..].iter().map(|part| json!({"output": part}));
        let mut answer =
            json!({"id": id, "status": self.status, "stream": parts.collect::<Vec<_>>()});
        self.read = self.parts.len();
        if let Some(error) = self.result.get("error") {
            answer["error"] = error.clone();
        }
        answer
    }
}
