//! What people who watch over a deployment ask of it: what lies in its queues, which processes it has, and what
//! operators did.
//!
//! None of it is part of the protocol: no loop reads it, and nothing is decided by it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use parallax_job::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Result;

/// Number of messages in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Depth {
    /// Ready to be received.
    pub visible: u64,
    /// Received and not yet deleted, or not yet to be received.
    pub hidden: u64,
}

/// A message as it lies in its queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its id.
    pub id: String,
    /// Its body.
    pub body: String,
    /// Its attributes; in the order in which they were sent, where the queue keeps that.
    pub attributes: Vec<(String, String)>,
    /// How often it was received.
    pub receive_count: u32,
    /// When it was sent.
    pub sent_at: Timestamp,
}

/// A queue that can be looked at without working it off.
#[async_trait]
pub trait QueueLook: fmt::Debug + Send + Sync {
    /// How many messages it holds, about.
    async fn depth(&self) -> Result<Depth>;

    /// Some of its messages, at most `limit` and each once; the oldest where the queue can tell. All of them stay
    /// where they are and can be received at once. Looking may count as a delivery, so that it is for queues of
    /// dead letters, which give nothing up.
    async fn peek(&self, limit: usize) -> Result<Vec<Entry>>;
}

/// How long a replica is remembered that was not heard of again.
pub const REPLICA_FORGOTTEN: Duration = Duration::from_secs(24 * 3600);

/// A process of the deployment, as it said of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// Its name: of its own choice, and no other's.
    pub id: String,
    /// Its program's version.
    pub version: String,
    /// The roles that it runs, separated by commas.
    pub roles: String,
    /// When it started.
    pub since: Timestamp,
    /// When it said this.
    pub seen: Timestamp,
    /// Why it is not ready, by what is not; empty when it is.
    pub not_ready: BTreeMap<String, String>,
}

/// Who is at work.
#[async_trait]
pub trait Replicas: fmt::Debug + Send + Sync {
    /// Says so, in place of what this replica said before. Those that were not heard of for
    /// [`REPLICA_FORGOTTEN`] before `seen` are forgotten.
    async fn announce(&self, replica: &Replica) -> Result<()>;

    /// Takes it back at the end; succeeds when there is none of this id.
    async fn leave(&self, id: &str) -> Result<()>;

    /// Everyone that was heard of and not forgotten, by id.
    async fn replicas(&self) -> Result<Vec<Replica>>;
}

/// What an operator did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// When it was begun.
    pub at: Timestamp,
    /// Who, as far as that is known.
    pub who: String,
    /// What was to be done.
    pub what: String,
    /// What came of it; `None` while it is being done, and for ever where the process ended meanwhile.
    pub outcome: Option<String>,
}

/// The record of what operators did. Nothing of it is changed but to add what came of an act.
#[async_trait]
pub trait Acts: fmt::Debug + Send + Sync {
    /// Writes down what is about to be done, and gives its number; later ones have higher ones. Asked again after
    /// a lost reply, there may be two.
    async fn begin(&self, act: &Act) -> Result<u64>;

    /// Adds what came of it.
    async fn end(&self, number: u64, outcome: &str) -> Result<()>;

    /// At most `limit` of them with their numbers, the latest first, those before the number `before`.
    async fn latest_acts(&self, before: Option<u64>, limit: usize) -> Result<Vec<(u64, Act)>>;
}
