//! The reassembly loop: every segment is complete, so join the results.

use std::sync::Arc;

use parallax_job::{JobId, JobStatus, ReassemblyMessage};
use parallax_ports::health::Beat;
use parallax_ports::ledger::{Advance, Lock};
use parallax_ports::{Kind, MediaError, Result};
use tokio::time::Instant;
use tracing::{Instrument, info, info_span, warn};

use crate::inbox::Quiet;
use crate::keeper::Hidden;
use crate::outcome::Outcome;
use crate::retry::Backoff;
use crate::stop::Stop;
use crate::{Mutant, Pipeline, Role, metrics};

pub(crate) async fn run(pipeline: Arc<Pipeline>, stop: Stop) {
    let inbox = pipeline.ports.reassembly.clone();
    let mut backoff = Backoff::new();
    let mut quiet = Quiet::default();
    let pulse = pipeline.pulse(Role::Reassembly);
    while !stop.soft.is_cancelled() {
        pulse.tick();
        let wait = quiet.wait(&pipeline.config);
        let receive = pipeline.receive(&inbox, 1, wait, &stop);
        match pulse.ask("queue", wait, receive).await {
            Ok(messages) => {
                backoff.reset();
                quiet.learn(&messages);
                for message in messages {
                    let outcome = match ReassemblyMessage::parse(&message.body) {
                        Err(error) => Outcome::Poison { why: error.to_string() },
                        Ok(ReassemblyMessage { job_id }) => {
                            let span = info_span!("reassembly", %job_id);
                            let beat = pulse.beat();
                            let work = pipeline.reassemble(&job_id, beat, &stop);
                            // Also while a silent ledger is asked for the lock, or told of the end.
                            let hidden = Some(Hidden { queue: &*inbox.queue, message: &message });
                            let done = tokio::select! {
                                biased;
                                done = pulse.during(work.instrument(span)) => done,
                                () = pipeline.keep_hidden(pipeline.config.visibility, hidden) => break,
                            };
                            done.unwrap_or_else(|error| pipeline.try_later(&error))
                        }
                    };
                    pulse.during(pipeline.settle(&inbox, &message, outcome)).await;
                }
            }
            Err(error) => {
                warn!(queue = inbox.name, error = %error.chain(), "could not receive");
                stop.pause(backoff.next(&pipeline)).await;
            }
        }
    }
}

impl Pipeline {
    async fn reassemble(&self, job_id: &JobId, beat: &Beat, stop: &Stop) -> Result<Outcome> {
        let nonce = match self.config.is(Mutant::SharedLockName) {
            true => "reassembler".to_owned(),
            false => self.ports.ids.next(),
        };
        let lock = || {
            let now = self.now();
            let forever = if self.config.is(Mutant::LockForever) { 1_000_000 } else { 1 };
            let until = now + self.config.reassembly_lease * forever;
            self.ledger().lock_reassembly(job_id, &nonce, until, now)
        };
        let asked_at = Instant::now();
        let total = match self.persist("lock", lock).await? {
            Lock::Acquired(total) => total,
            Lock::Held(until) => return Ok(Outcome::Wait { after: self.until(until) }),
            Lock::Over(status) => {
                info!(%status, "nothing to reassemble");
                return Ok(Outcome::Done);
            }
            Lock::NotTriggered => {
                return Ok(Outcome::Retry { after: self.config.resend.unconfirmed });
            }
        };
        let unlock = || self.ledger().unlock_reassembly(job_id, &nonce);
        let lease = self.config.reassembly_lease;
        if self.another_cut_runs(job_id, total).await? {
            info!(total, "waits for attempts at another cut's segments to end");
            self.persist("unlock", unlock).await?;
            return Ok(Outcome::Wait { after: self.config.resend.unconfirmed });
        }
        if asked_at.elapsed() > self.fresh(lease) && !self.config.is(Mutant::StaleReassembly) {
            self.persist("unlock", unlock).await?;
            return Ok(Outcome::Later { after: self.config.refused_after });
        }
        info!(total, "reassembly starts");
        let cancel = stop.hard.child_token();
        let work = self.ports.assembler.assemble(job_id, total, &cancel);
        tokio::pin!(work);
        let any_cut = self.config.is(Mutant::JoinAnyCut);
        let renew = || async {
            Ok(matches!(lock().await?, Lock::Acquired(current) if any_cut || current == total))
        };
        let done = tokio::select! {
            biased;
            done = &mut work => done,
            () = self.keep(lease, asked_at, None, Some(beat), renew) => {
                warn!("reassembly lease lost");
                cancel.cancel();
                // Only what has certainly ended makes room for another at once.
                if tokio::time::timeout(lease / 10, work).await.is_ok() {
                    self.persist("unlock", unlock).await?;
                }
                return Ok(Outcome::Later { after: self.config.refused_after });
            }
        };
        let outcome = match done {
            Ok(()) => {
                let (to, cut) = (JobStatus::Completed, (!any_cut).then_some(total));
                let verb = || self.ledger().advance(job_id, to, cut, None, self.now());
                match self.persist("completed", verb).await? {
                    Advance::Refused(status) => {
                        warn!(total, %status, "joined a cut that the job no longer has");
                        self.count(metrics::OTHER_CUTS, &[("what", "film")]);
                        self.persist("unlock", unlock).await?;
                    }
                    _ => info!("job completed"),
                }
                return Ok(Outcome::Done);
            }
            Err(MediaError::Input(why)) => return Ok(self.fail_job(job_id, &why).await),
            Err(MediaError::Port(error)) if error.kind() == Kind::Cancelled => Outcome::Interrupted,
            Err(MediaError::Port(error)) => self.try_later(&error),
        };
        self.persist("unlock", unlock).await?;
        Ok(outcome)
    }

    /// Whether somebody may still write a result of another cut over one of this.
    async fn another_cut_runs(&self, job_id: &JobId, total: u32) -> Result<bool> {
        let holders = self.persist("holders", || self.ledger().holders()).await?;
        let of_another = holders
            .iter()
            .filter_map(|holder| holder.work.as_ref())
            .any(|work| work.segment.job_id == *job_id && work.segment.total != total);
        Ok(of_another && !self.config.is(Mutant::JoinAnyCut))
    }
}
