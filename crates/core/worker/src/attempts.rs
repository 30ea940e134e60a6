//! One attempt at one segment: intent, invocation, answer.

use std::sync::Arc;
use std::time::Duration;

use parallax_job::{ObjectKey, Segment, Timestamp, Uri};
use parallax_ports::ledger::{
    AttemptError, Cost, Fence, HolderId, Intent, IntentOutcome, SegmentRow,
};
use parallax_ports::{Custody, Error, Invocation, Invoked, Kind, Locations, Result};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::breaker::Breaker;
use crate::context::Context;
use crate::delays::{DEPLOYMENT_REFUSED, NO_RESERVATION, OTHER_CUT, TURN};
use crate::evidence::{Evidence, LEAST_RESULT};
use crate::heartbeat::{Heartbeat, Hidden};
use crate::metrics;
use crate::mutant::buggify;
#[cfg(feature = "mutants")]
use crate::mutations;
use crate::outcome::Outcome;
use crate::permits::PermitPool;
use crate::verdicts::Verdicts;

/// A segment's object, as its event tells of it.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) uri: Uri,
    pub(crate) bytes: Option<u64>,
    /// When it was written, by the store's clock.
    pub(crate) written: Option<Timestamp>,
}

/// When an attempt's lease was asked for, by both clocks: a machine that sleeps stops the second.
#[derive(Debug, Clone, Copy)]
struct Asked {
    at: Timestamp,
    instant: Instant,
}

/// Drives segments: one attempt at a time, from its intent to what the backend answers.
#[derive(Debug)]
pub(crate) struct Attempts {
    context: Arc<Context>,
    permits: Arc<PermitPool>,
    verdicts: Arc<Verdicts>,
    evidence: Arc<Evidence>,
    breaker: Arc<Breaker>,
    heartbeat: Heartbeat,
    /// Whose turn it is to hand an attempt over to the backend.
    handing_over: Semaphore,
}

impl Attempts {
    pub(crate) fn new(
        context: Arc<Context>,
        permits: Arc<PermitPool>,
        verdicts: Arc<Verdicts>,
        evidence: Arc<Evidence>,
        breaker: Arc<Breaker>,
    ) -> Self {
        let heartbeat = Heartbeat::new(context.clone());
        let handing_over = Semaphore::new(1);
        Self { context, permits, verdicts, evidence, breaker, heartbeat, handing_over }
    }

    /// Drives a segment as far as it can be driven now. The permit is used or given back.
    pub(crate) async fn drive(
        &self,
        segment: &Segment,
        input: Input,
        permit: HolderId,
        hidden: Option<Hidden<'_>>,
        hard: &CancellationToken,
    ) -> Result<Outcome> {
        let key = ObjectKey::Result { job_id: segment.job_id.clone(), index: segment.index };
        let output = match self.context.config.buckets.output.uri(&key) {
            Ok(uri) => uri,
            Err(error) => return Ok(Outcome::Poison { why: error.to_string() }),
        };
        let custody = self.context.ports.backend.custody();
        // One after the other: a process that dies loses what it was about to hand over, and that
        // is not to be all that it had permits for.
        let turn = match custody {
            Custody::Backend => timeout(TURN, self.handing_over.acquire()).await.ok(),
            Custody::Caller => None,
        };
        let asked = Asked { at: self.context.now(), instant: Instant::now() };
        let intent = Intent {
            segment: segment.clone(),
            holder: permit.clone(),
            nonce: self.context.ports.ids.next(),
            custody,
            input: input.uri,
            output,
            deadline: asked.at + self.span(custody),
            lease: self.leaves_requests(segment).then(|| asked.at + self.context.config.lease),
            now: asked.at,
        };
        #[cfg(feature = "mutants")]
        if buggify!(self.context, InvokeBeforeIntent) {
            let begun = mutations::invoke_first(&self.context, &intent, hard).await?;
            let Some((row, answer)) = begun else { return Ok(Outcome::Done) };
            return self.answered(&row, answer).await;
        }
        let recorded =
            self.context.persist("intent", || self.context.ledger().record_intent(&intent)).await;
        let row = match recorded {
            Ok(IntentOutcome::Recorded(row)) => *row,
            other => {
                // Changes nothing if the intent was recorded after all.
                self.permits.unreserve(&permit).await;
                return self.not_started(segment, other?).await;
            }
        };
        self.context.recent.came(segment, input.bytes, input.written);
        let _running = (custody == Custody::Caller).then(|| self.context.recent.running(segment));
        let outcome = self.attempt(&row, asked, hidden, hard).await;
        drop(turn);
        outcome
    }

    /// How long an attempt lasts without a further word.
    fn span(&self, custody: Custody) -> Duration {
        match custody {
            Custody::Caller => self.context.config.lease,
            Custody::Backend => self.context.config.unanswered,
        }
    }

    /// Whether it can be told later that an attempt reached nobody.
    fn leaves_requests(&self, segment: &Segment) -> bool {
        let backend = &self.context.ports.backend;
        backend.custody() == Custody::Backend && backend.request_at(segment).is_some()
    }

    async fn not_started(&self, segment: &Segment, outcome: IntentOutcome) -> Result<Outcome> {
        match outcome {
            IntentOutcome::Recorded(_) => Ok(Outcome::Done),
            IntentOutcome::Open(row) => {
                if buggify!(self.context, TakeOverOpenIntent) {
                    let (now, error) = (self.context.now(), AttemptError::new("taken_over", ""));
                    return self.verdicts.try_again(&row.fence(), now, &error, Cost::Attempt).await;
                }
                self.evidence.observe(&row.segment).await?;
                let after = match row.custody {
                    // The row has custody; the sweep finds whatever becomes of it.
                    Custody::Backend => return Ok(Outcome::Done),
                    Custody::Caller => self.context.until(row.deadline),
                };
                Ok(Outcome::Wait { after })
            }
            IntentOutcome::NotDue(at) => Ok(Outcome::Wait { after: self.context.until(at) }),
            IntentOutcome::OtherCut { total, settled } => {
                warn!(total, settled, "of another cut of its source than the job's; not run");
                self.context.count(metrics::OTHER_CUTS, &[("what", "event")]);
                Ok(match settled {
                    true => Outcome::Done,
                    false => Outcome::Retry { after: self.context.jittered(OTHER_CUT) },
                })
            }
            IntentOutcome::Occupied => {
                info!("waits for an attempt at another cut's segment of this index to end");
                Ok(Outcome::Retry { after: self.context.jittered(OTHER_CUT) })
            }
            IntentOutcome::Over => {
                // Its owner may have stopped between the completion and the trigger.
                if self.context.config.completes {
                    self.context.triggers.doubted(&segment.job_id);
                }
                Ok(Outcome::Done)
            }
            IntentOutcome::NoReservation => {
                Ok(Outcome::Retry { after: self.context.jittered(NO_RESERVATION) })
            }
        }
    }

    async fn attempt(
        &self,
        row: &SegmentRow,
        asked: Asked,
        hidden: Option<Hidden<'_>>,
        hard: &CancellationToken,
    ) -> Result<Outcome> {
        let fence = row.fence();
        let invocation = Invocation {
            segment: row.segment.clone(),
            attempt: row.attempt,
            input: row.input.clone(),
            output: row.output.clone(),
        };
        if self.is_late(asked) && !buggify!(self.context, StaleStart) {
            return self.too_late(&fence).await;
        }
        if let Err(error) = self.context.ports.backend.prepare(&invocation, hard).await {
            return self.refused(row, &fence, &error).await;
        }
        // Whoever finds no request once the lease is over takes it that none will follow.
        let hasty = buggify!(self.context, AskLate) || buggify!(self.context, StaleStart);
        if self.is_late(asked) && !hasty {
            return self.too_late(&fence).await;
        }
        info!(attempt = row.attempt, input = %row.input, "attempt starts");
        let started = Instant::now();
        let answer = self.invoke(row, &invocation, asked, hidden, hard).await;
        if !buggify!(self.context, IgnoreRefusals) {
            self.breaker.learn(&answer);
        }
        let label = match &answer {
            Ok(Invoked::Finished | Invoked::Written) => "finished",
            Ok(Invoked::Accepted(_)) => "accepted",
            Err(error) => error.kind().as_str(),
        };
        self.context.count(metrics::ATTEMPTS, &[("outcome", label)]);
        let seconds = started.elapsed().as_secs_f64();
        self.context.ports.metrics.observe(
            metrics::BACKEND_SECONDS,
            &[("outcome", label)],
            seconds,
        );
        info!(attempt = row.attempt, outcome = label, seconds, "attempt answered");
        self.answered(row, answer).await
    }

    /// Whether too much of the lease has passed to begin, by either clock.
    fn is_late(&self, asked: Asked) -> bool {
        let fresh = self.heartbeat.fresh(self.context.config.lease);
        self.context.now().since(asked.at) > fresh || asked.instant.elapsed() > fresh
    }

    async fn too_late(&self, fence: &Fence) -> Result<Outcome> {
        let error = AttemptError::new("stale", "the process was paused before the invocation");
        self.verdicts.try_again(fence, self.context.now(), &error, Cost::Nothing).await
    }

    pub(crate) async fn answered(
        &self,
        row: &SegmentRow,
        answer: Result<Invoked>,
    ) -> Result<Outcome> {
        let fence = row.fence();
        match answer {
            Ok(Invoked::Finished) => self.finished(row, &fence).await,
            Ok(Invoked::Written) => {
                self.verdicts.complete(row, &fence, true).await.map(|()| Outcome::Done)
            }
            Ok(Invoked::Accepted(locations)) => self.accepted(row, &fence, &locations).await,
            Err(error) => self.refused(row, &fence, &error).await,
        }
    }

    /// Invokes the backend once. Under the caller's custody, losing the lease cancels the work.
    async fn invoke(
        &self,
        row: &SegmentRow,
        invocation: &Invocation,
        asked: Asked,
        hidden: Option<Hidden<'_>>,
        hard: &CancellationToken,
    ) -> Result<Invoked> {
        let backend = &self.context.ports.backend;
        if row.custody == Custody::Backend {
            return backend.invoke(invocation, hard).await;
        }
        let cancel = hard.child_token();
        let fence = row.fence();
        let work = backend.invoke(invocation, &cancel);
        tokio::pin!(work);
        tokio::select! {
            biased;
            answer = &mut work => answer,
            () = self.heartbeat.keep_attempt(&fence, asked.instant, hidden), if !buggify!(self.context, NoHeartbeat) => {
                warn!(attempt = row.attempt, "lease lost; the attempt is cancelled");
                cancel.cancel();
                // Whatever it answers, another owner decides now.
                let _ = tokio::time::timeout(self.context.config.lease / 10, work).await;
                Err(Error::new(Kind::Timeout, "the attempt's lease was lost"))
            }
        }
    }

    async fn finished(&self, row: &SegmentRow, fence: &Fence) -> Result<Outcome> {
        let there = if buggify!(self.context, TrustFinished) {
            true
        } else {
            let head = self
                .context
                .persist("head", || self.context.ports.objects.head(&row.output))
                .await?;
            head.is_some_and(|meta| meta.size >= LEAST_RESULT)
        };
        if !there {
            let text = format!(
                "the backend reported success, but there is no media file at {}",
                row.output
            );
            return self.verdicts.failed(row, fence, &AttemptError::new("no_output", &text)).await;
        }
        self.verdicts.complete(row, fence, true).await?;
        Ok(Outcome::Done)
    }

    async fn accepted(
        &self,
        row: &SegmentRow,
        fence: &Fence,
        locations: &Locations,
    ) -> Result<Outcome> {
        self.context.recent.handed_over(row, locations);
        let deadline = match buggify!(self.context, AcceptedAsUnanswered) {
            true => self.context.now() + self.context.config.unanswered / 4,
            false => self.context.now() + self.context.config.deadline,
        };
        let verb = || self.context.ledger().record_invoked(fence, locations, deadline);
        // Without this record the attempt is still open until its deadline, and evidence at the
        // output is enough to complete it: worth a warning, not a second invocation.
        if let Err(error) = self.context.persist("invoked", verb).await {
            warn!(error = %error.chain(), "could not record where the outcome will be");
            if self.context.ports.backend.custody() == Custody::Caller {
                return Ok(Outcome::Retry { after: self.context.config.lease });
            }
        }
        Ok(Outcome::Done)
    }

    async fn refused(&self, row: &SegmentRow, fence: &Fence, error: &Error) -> Result<Outcome> {
        let now = self.context.now();
        let text = error.chain();
        let reason = AttemptError::from_kind(error.kind(), &text);
        match error.kind() {
            Kind::Cancelled => {
                self.verdicts.try_again(fence, now, &reason, Cost::Nothing).await?;
                Ok(Outcome::Interrupted)
            }
            Kind::Throttled | Kind::Unavailable if buggify!(self.context, FailOnRefusal) => {
                self.verdicts.give_up(fence, &reason).await
            }
            Kind::Throttled | Kind::Unavailable => {
                let cost = match buggify!(self.context, CountRefusals) {
                    true => Cost::Attempt,
                    false => Cost::Nothing,
                };
                let wait = self.context.jittered(self.context.config.refused_after * 2);
                let asked = error.retry_after().unwrap_or(wait);
                let at = now + asked.min(self.context.config.longest_retry_after).max(wait);
                self.verdicts.try_again(fence, at, &reason, cost).await
            }
            Kind::Unauthorized => {
                error!(error = %text, "the deployment is at fault: its credentials, certificates or addresses are refused");
                self.verdicts
                    .try_again(fence, now + DEPLOYMENT_REFUSED, &reason, Cost::Nothing)
                    .await
            }
            Kind::Timeout if buggify!(self.context, ReleaseAmbiguousInvoke) => {
                self.verdicts.try_again(fence, now, &reason, Cost::Attempt).await
            }
            // It may be running: the permit stays, and evidence or the deadline decides.
            Kind::Timeout if row.custody == Custody::Backend => Ok(Outcome::Done),
            Kind::Timeout => Ok(Outcome::Wait { after: self.context.config.lease }),
            Kind::Rejected => self.verdicts.give_up(fence, &reason).await,
            Kind::NotFound | Kind::Internal | Kind::Conflict => {
                self.verdicts.failed(row, fence, &reason).await
            }
        }
    }
}
