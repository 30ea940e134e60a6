//! Setting aside undone: dead letters go back to where they came from, and failed jobs go on.
//!
//! A dead letter is copied back before it is deleted, so a crash in between leaves it in both
//! places, and to handle a message twice is a no-op. What would be set aside again at once is
//! refused and stays where it is.

use std::time::Duration;

use futures::future::join_all;
use parallax_job::{JobId, Timestamp};
use parallax_ports::{Message, Queue, Result};

use super::dead_letters::{AT_ONCE, DeadLetters};
use super::handle::Operator;
use super::reopen::reopen;
use super::step::{Done, Step};
use crate::Role;

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

/// Sets going again what `asked` names. Each step is told as soon as it is done.
///
/// # Errors
/// The ports'. What was told before the error was done and stays so.
pub async fn redrive(
    operator: &Operator,
    asked: &Redrive,
    now: Timestamp,
    tell: &mut (dyn FnMut(Step) + Send),
) -> Result<()> {
    let mut goes_on = false;
    if let Some(job_id) = &asked.job {
        goes_on = reopen(operator, job_id, asked.dry_run, now, tell).await?;
    }
    let mut moved = 0;
    for dead in &operator.dead_letters {
        if moved >= asked.limit {
            break;
        }
        let letters = DeadLetters {
            operator,
            dead: &**dead,
            job: asked.job.as_ref(),
            queue: asked.queue,
            dry_run: asked.dry_run,
            goes_on,
        };
        let mut left = Vec::new();
        let looked = letters.look_through(asked.limit - moved, &mut left, tell).await;
        show_again(&**dead, &left, tell).await;
        moved += looked?;
    }
    Ok(())
}

/// What stays is visible again at once.
async fn show_again(dead: &dyn Queue, left: &[Message], tell: &mut (dyn FnMut(Step) + Send)) {
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
}
