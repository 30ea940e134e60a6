//! Setting aside undone: dead letters go back to where they came from, and failed jobs go on.
//!
//! A dead letter is copied back before it is deleted, so a crash in between leaves it in both
//! places, and to handle a message twice is a no-op. What would be set aside again at once is
//! refused and stays where it is.

mod letters;
mod release;
mod reopen;

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use parallax_job::{Buckets, JobId, Timestamp};
use parallax_ports::{Ledger, ObjectStore, Queue, Result};
use serde::Serialize;

pub use release::{Release, Released, release};

use crate::Role;

/// Calls that are made at once.
const AT_ONCE: usize = 10;

/// Where dead letters are and where they came from.
#[derive(Debug, Clone)]
pub struct Desk {
    /// Durable state.
    pub ledger: Arc<dyn Ledger>,
    /// Objects.
    pub objects: Arc<dyn ObjectStore>,
    /// Where objects live.
    pub buckets: Buckets,
    /// Events of `segments/`.
    pub segments: Arc<dyn Queue>,
    /// Events of results.
    pub output_events: Arc<dyn Queue>,
    /// Events of `input/`, where it is known.
    pub chunking: Option<Arc<dyn Queue>>,
    /// Reassembly messages.
    pub reassembly: Arc<dyn Queue>,
    /// What was set aside.
    pub dead_letters: Option<Arc<dyn Queue>>,
}

/// What to set going again.
#[derive(Debug, Clone)]
pub struct Redrive {
    /// Only what belongs to this job; and if it failed, its failed segments.
    pub job: Option<JobId>,
    /// Only dead letters for this role's queue.
    pub queue: Option<Role>,
    /// The most dead letters that are moved.
    pub limit: usize,
    /// Say what would be done.
    pub dry_run: bool,
}

/// What became of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The dead letter, segment or job.
    pub what: String,
    /// What was done, or would be.
    pub done: Done,
    /// More about it.
    pub why: String,
}

/// What was done, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// Back in its queue.
    Moved,
    /// May be attempted again; its event was sent.
    Reopened,
    /// Makes no sense; left as it is.
    Refused,
    /// Could not be tidied up after: a dead letter that is in both queues, or hidden for a while.
    Unsettled,
}

impl Step {
    fn of_message(id: &str, done: Done, why: impl Into<String>) -> Self {
        Self { what: format!("message {id}"), done, why: why.into() }
    }
}

/// Sets going again what `asked` names. Each step is told as soon as it is done.
///
/// # Errors
/// The ports'. What was told before the error was done and stays so.
pub async fn redrive(
    desk: &Desk,
    asked: &Redrive,
    now: Timestamp,
    tell: &mut dyn FnMut(Step),
) -> Result<()> {
    let mut goes_on = false;
    if let Some(job_id) = &asked.job {
        goes_on = desk.reopen(job_id, asked.dry_run, now, tell).await?;
    }
    let Some(dead) = &desk.dead_letters else { return Ok(()) };
    let mut left = Vec::new();
    let looked = desk.look_through(&**dead, asked, goes_on, &mut left, tell).await;
    for some in left.chunks(AT_ONCE) {
        let show = some.iter().map(|m| dead.change_visibility(&m.receipt, Duration::ZERO));
        for (message, shown) in some.iter().zip(join_all(show).await) {
            if let Err(error) = shown {
                let minutes = crate::delays::LETTER_HIDDEN.as_secs() / 60;
                let why = format!("stays hidden for up to {minutes} min: {}", error.chain());
                tell(Step::of_message(&message.id, Done::Unsettled, why));
            }
        }
    }
    looked
}
