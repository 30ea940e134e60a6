//! What the console is told: what it looks at and acts on, and how.

use std::sync::Arc;

use parallax_ports::{Acts, Clock, QueueLook, Replicas};
use parallax_secret::Given;
use parallax_worker::Operator;

/// A queue by a name that operators know.
#[derive(Debug, Clone)]
pub struct NamedQueue {
    /// Its name.
    pub name: String,
    /// It.
    pub queue: Arc<dyn QueueLook>,
}

/// What is looked at and acted on.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// What the commands of operators work on.
    pub operator: Operator,
    /// The queues that work comes from.
    pub queues: Vec<NamedQueue>,
    /// The queues of dead letters.
    pub dead_letters: Vec<NamedQueue>,
    /// Who is at work.
    pub replicas: Arc<dyn Replicas>,
    /// What operators did.
    pub acts: Arc<dyn Acts>,
    /// The time by which ages are told.
    pub clock: Arc<dyn Clock>,
}

/// What the console is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Names by which it may be asked for, beside addresses and `localhost`.
    pub hosts: Vec<String>,
    /// What lets an operator act; without it nobody can.
    pub token: Option<Given>,
    /// Whether everybody who reaches it may read. Otherwise only who has the token.
    pub everybody_reads: bool,
    /// Most attempts in flight.
    pub max_in_flight: u32,
    /// Why no act may end attempts here, if so.
    pub never_ends_attempts: Option<String>,
    /// What is shown to nobody, wherever it stands.
    pub secrets: Vec<Given>,
    /// What this is a deployment on, for the top of every page.
    pub platform: String,
}
