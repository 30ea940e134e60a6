//! The reassembly loop's messages: every segment is complete, so join the results.

use std::sync::Arc;

use parallax_job::{JobId, JobStatus, ObjectKey, ReassemblyMessage};
use parallax_ports::ledger::{Advance, Lock};
use parallax_ports::{Kind, MediaError, Message, Result};
use tokio::time::{Instant, timeout};
use tracing::{Instrument, info, info_span, warn};

use crate::Inbox;
use crate::consumer::Handler;
use crate::context::Context;
use crate::heartbeat::{Heartbeat, Hidden};
use crate::jobs::Jobs;
use crate::metrics;
use crate::mutant::buggify;
use crate::outcome::Outcome;
use crate::stop::Stop;

/// Handles reassembly messages.
#[derive(Debug)]
pub(crate) struct Reassembly {
    pub(crate) context: Arc<Context>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) inbox: Inbox,
    pub(crate) stop: Stop,
}

/// One reassembler's hold on a job.
struct Turn<'a> {
    job_id: &'a JobId,
    /// Under which name the job is locked.
    nonce: String,
    /// When that was asked for.
    asked_at: Instant,
}

impl Handler for Reassembly {
    type Pass = ();

    async fn handle(&self, message: &Message, (): ()) -> Outcome {
        let ReassemblyMessage { job_id } = match ReassemblyMessage::parse(&message.body) {
            Ok(message) => message,
            Err(error) => return Outcome::Poison { why: error.to_string() },
        };
        let span = info_span!("reassembly", %job_id);
        // Also while a silent ledger is asked for the lock, or told of the end.
        let hidden = Some(Hidden { queue: &*self.inbox.queue, message });
        let visibility = self.context.config.visibility;
        let done = tokio::select! {
            biased;
            done = self.reassemble(&job_id).instrument(span) => done,
            never = self.heartbeat.keep_hidden(visibility, hidden) => match never {},
        };
        done.unwrap_or_else(|error| self.context.try_later(&error))
    }
}

impl Reassembly {
    async fn reassemble(&self, job_id: &JobId) -> Result<Outcome> {
        let context = &self.context;
        let nonce = match buggify!(context, SharedLockName) {
            true => "reassembler".to_owned(),
            false => context.ports.ids.next(),
        };
        let turn = Turn { job_id, nonce, asked_at: Instant::now() };
        let total = match context.persist("lock", || self.lock(&turn)).await? {
            Lock::Acquired(total) => total,
            Lock::Held(until) => return Ok(Outcome::Wait { after: context.until(until) }),
            Lock::Over(status) => {
                info!(%status, "nothing to reassemble");
                self.remove_if_deleted(job_id, status).await?;
                return Ok(Outcome::Done);
            }
            Lock::NotTriggered => {
                return Ok(Outcome::Retry { after: context.config.resend.unconfirmed });
            }
        };
        if self.another_cut_runs(job_id, total).await? {
            info!(total, "waits for attempts at another cut's segments to end");
            self.unlock(&turn).await?;
            return Ok(Outcome::Wait { after: context.config.resend.unconfirmed });
        }
        let fresh = self.heartbeat.fresh(context.config.reassembly_lease);
        if turn.asked_at.elapsed() > fresh && !buggify!(context, StaleReassembly) {
            self.unlock(&turn).await?;
            return Ok(Outcome::Later { after: context.config.refused_after });
        }
        self.join(&turn, total).await
    }

    /// Asks for the lock, or for more time.
    async fn lock(&self, turn: &Turn<'_>) -> Result<Lock> {
        let now = self.context.now();
        let forever = if buggify!(self.context, LockForever) { 1_000_000 } else { 1 };
        let until = now + self.context.config.reassembly_lease * forever;
        self.context.ledger().lock_reassembly(turn.job_id, &turn.nonce, until, now).await
    }

    async fn unlock(&self, turn: &Turn<'_>) -> Result<()> {
        let verb = || self.context.ledger().unlock_reassembly(turn.job_id, &turn.nonce);
        self.context.persist("unlock", verb).await
    }

    /// Joins the results of a cut, as long as the lock on it holds.
    async fn join(&self, turn: &Turn<'_>, total: u32) -> Result<Outcome> {
        info!(total, "reassembly starts");
        let context = &self.context;
        let lease = context.config.reassembly_lease;
        let cancel = self.stop.hard.child_token();
        let work = context.ports.assembler.assemble(turn.job_id, total, &cancel);
        tokio::pin!(work);
        let any_cut = buggify!(context, JoinAnyCut);
        let renew = || async {
            let lock = self.lock(turn).await?;
            Ok(matches!(lock, Lock::Acquired(current) if any_cut || current == total))
        };
        let done = tokio::select! {
            biased;
            done = &mut work => done,
            () = self.heartbeat.keep(lease, turn.asked_at, None, renew) => {
                warn!("reassembly lease lost");
                cancel.cancel();
                // Only what has certainly ended makes room for another at once.
                if timeout(lease / 10, work).await.is_ok() {
                    self.unlock(turn).await?;
                }
                return Ok(Outcome::Later { after: context.config.refused_after });
            }
        };
        let outcome = match done {
            Ok(()) => {
                self.joined(turn, total).await?;
                return Ok(Outcome::Done);
            }
            Err(MediaError::Input(why)) => return Ok(self.jobs.fail(turn.job_id, &why).await),
            Err(MediaError::Port(error)) if error.kind() == Kind::Cancelled => Outcome::Interrupted,
            Err(MediaError::Port(error)) => context.try_later(&error),
        };
        self.unlock(turn).await?;
        Ok(outcome)
    }

    /// The film is there: the job is completed, unless it was cut anew meanwhile.
    async fn joined(&self, turn: &Turn<'_>, total: u32) -> Result<()> {
        let cut = (!buggify!(self.context, JoinAnyCut)).then_some(total);
        let Advance::Refused(status) = self.jobs.complete(turn.job_id, cut).await? else {
            info!("job completed");
            return Ok(());
        };
        if status.is_terminal() {
            info!(%status, "joined a job that is over");
            self.remove_if_deleted(turn.job_id, status).await?;
        } else {
            warn!(total, %status, "joined a cut that the job no longer has");
            self.context.count(metrics::OTHER_CUTS, &[("what", "film")]);
        }
        self.unlock(turn).await
    }

    /// Removes the film of a deleted job: it may have been written after whoever deleted the job had
    /// looked for it.
    async fn remove_if_deleted(&self, job_id: &JobId, status: JobStatus) -> Result<()> {
        let key = ObjectKey::Final(job_id.clone());
        let film = self.context.config.buckets.output.uri(&key);
        let (JobStatus::Deleted, Ok(film)) = (status, film) else { return Ok(()) };
        let objects = &self.context.ports.objects;
        self.context.persist("remove a film", || objects.delete(&film)).await
    }

    /// Whether somebody may still write a result of another cut over one of this.
    async fn another_cut_runs(&self, job_id: &JobId, total: u32) -> Result<bool> {
        let holders = || self.context.ledger().holders();
        let holders = self.context.persist("holders", holders).await?;
        let of_another = holders
            .iter()
            .filter_map(|holder| holder.work.as_ref())
            .any(|work| work.segment.job_id == *job_id && work.segment.total != total);
        Ok(of_another && !buggify!(self.context, JoinAnyCut))
    }
}
