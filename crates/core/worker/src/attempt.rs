//! One attempt at one segment: intent, invocation, answer.

use std::time::Duration;

use parallax_job::{ObjectKey, Segment, Timestamp, Uri};
use parallax_ports::ledger::{
    AttemptError, Cost, Ended, Fence, HolderId, Intent, IntentOutcome, SegmentRow,
};
use parallax_ports::{Custody, Error, Invocation, Invoked, Kind, Locations, Result};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::delays::{
    DEPLOYMENT_REFUSED, LONGEST_RETRY, NO_RESERVATION, OTHER_CUT, RETRY_FACTOR, SOON, TURN,
};
use crate::keeper::Hidden;
use crate::observe::LEAST_RESULT;
use crate::outcome::Outcome;
use crate::{Mutant, Pipeline, metrics};

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

impl Pipeline {
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
        let output = match self.config.buckets.output.uri(&key) {
            Ok(uri) => uri,
            Err(error) => return Ok(Outcome::Poison { why: error.to_string() }),
        };
        let custody = self.ports.backend.custody();
        // One after the other: a process that dies loses what it was about to hand over, and that
        // is not to be all that it had permits for.
        let turn = match custody {
            Custody::Backend => timeout(TURN, self.handing_over.acquire()).await.ok(),
            Custody::Caller => None,
        };
        let asked = Asked { at: self.now(), instant: Instant::now() };
        let intent = Intent {
            segment: segment.clone(),
            holder: permit.clone(),
            nonce: self.ports.ids.next(),
            custody,
            input: input.uri,
            output,
            deadline: asked.at + self.span(custody),
            lease: self.leaves_requests(segment).then(|| asked.at + self.config.lease),
            now: asked.at,
        };
        #[cfg(feature = "mutants")]
        if self.config.is(Mutant::InvokeBeforeIntent) {
            return self.invoke_first(&intent, hard).await;
        }
        let recorded = self.persist("intent", || self.ledger().record_intent(&intent)).await;
        let row = match recorded {
            Ok(IntentOutcome::Recorded(row)) => *row,
            other => {
                // Changes nothing if the intent was recorded after all.
                self.unreserve(&permit).await;
                return self.not_started(segment, other?).await;
            }
        };
        self.recent.came(segment, input.bytes, input.written);
        let _running = (custody == Custody::Caller).then(|| self.recent.running(segment));
        let outcome = self.attempt(&row, asked, hidden, hard).await;
        drop(turn);
        outcome
    }

    /// How long an attempt lasts without a further word.
    fn span(&self, custody: Custody) -> Duration {
        match custody {
            Custody::Caller => self.config.lease,
            Custody::Backend if self.config.is(Mutant::WaitOutUnanswered) => self.config.deadline,
            Custody::Backend => self.config.unanswered,
        }
    }

    /// Whether it can be told later that an attempt reached nobody.
    fn leaves_requests(&self, segment: &Segment) -> bool {
        let backend = &self.ports.backend;
        backend.custody() == Custody::Backend && backend.request_at(segment).is_some()
    }

    async fn not_started(&self, segment: &Segment, outcome: IntentOutcome) -> Result<Outcome> {
        match outcome {
            IntentOutcome::Recorded(_) => Ok(Outcome::Done),
            IntentOutcome::Open(row) => {
                if self.config.is(Mutant::TakeOverOpenIntent) {
                    let error = AttemptError::new("taken_over", "taken over");
                    self.ledger().retry(&row.fence(), self.now(), &error, Cost::Attempt).await?;
                    return Ok(Outcome::Retry { after: Duration::from_millis(10) });
                }
                self.observe(&row.segment).await?;
                let after = match row.custody {
                    // The row has custody; the sweep finds whatever becomes of it.
                    Custody::Backend => return Ok(Outcome::Done),
                    Custody::Caller => self.until(row.deadline),
                };
                Ok(Outcome::Wait { after })
            }
            IntentOutcome::NotDue(at) => Ok(Outcome::Wait { after: self.until(at) }),
            IntentOutcome::OtherCut { total, settled } => {
                warn!(total, settled, "of another cut of its source than the job's; not run");
                self.count(metrics::OTHER_CUTS, &[("what", "event")]);
                Ok(match settled {
                    true => Outcome::Done,
                    false => Outcome::Retry { after: self.jittered(OTHER_CUT) },
                })
            }
            IntentOutcome::Occupied => {
                info!("waits for an attempt at another cut's segment of this index to end");
                Ok(Outcome::Retry { after: self.jittered(OTHER_CUT) })
            }
            IntentOutcome::Over => {
                // Its owner may have stopped between the completion and the trigger.
                if self.config.completes {
                    self.triggers.doubted(&segment.job_id);
                }
                Ok(Outcome::Done)
            }
            IntentOutcome::NoReservation => {
                Ok(Outcome::Retry { after: self.jittered(NO_RESERVATION) })
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
            attempt: if self.config.is(Mutant::ReuseAttempt) { 1 } else { row.attempt },
            input: row.input.clone(),
            output: row.output.clone(),
        };
        if self.is_late(asked) && !self.config.is(Mutant::StaleStart) {
            return self.too_late(&fence).await;
        }
        if self.config.is(Mutant::AskBeforeRequest) {
            let answer = self.invoke(row, &invocation, asked, hidden, hard).await;
            let _ = self.ports.backend.prepare(&invocation, hard).await;
            return self.answered(row, answer).await;
        }
        if let Err(error) = self.ports.backend.prepare(&invocation, hard).await {
            return self.refused(row, &fence, &error).await;
        }
        // Whoever finds no request once the lease is over takes it that none will follow.
        let hasty = self.config.is(Mutant::AskLate) || self.config.is(Mutant::StaleStart);
        if self.is_late(asked) && !hasty {
            return self.too_late(&fence).await;
        }
        info!(attempt = row.attempt, input = %row.input, "attempt starts");
        let started = Instant::now();
        let answer = self.invoke(row, &invocation, asked, hidden, hard).await;
        if !self.config.is(Mutant::IgnoreRefusals) {
            self.breaker.learn(&answer);
        }
        let label = match &answer {
            Ok(Invoked::Finished | Invoked::Written) => "finished",
            Ok(Invoked::Accepted(_)) => "accepted",
            Err(error) => error.kind().as_str(),
        };
        self.count(metrics::ATTEMPTS, &[("outcome", label)]);
        let seconds = started.elapsed().as_secs_f64();
        self.ports.metrics.observe(metrics::BACKEND_SECONDS, &[("outcome", label)], seconds);
        info!(attempt = row.attempt, outcome = label, seconds, "attempt answered");
        self.answered(row, answer).await
    }

    /// Whether too much of the lease has passed to begin, by either clock.
    fn is_late(&self, asked: Asked) -> bool {
        let fresh = self.fresh(self.config.lease);
        self.now().since(asked.at) > fresh || asked.instant.elapsed() > fresh
    }

    async fn too_late(&self, fence: &Fence) -> Result<Outcome> {
        let error = AttemptError::new("stale", "the process was paused before the invocation");
        self.try_again(fence, self.now(), &error, Cost::Nothing).await
    }

    pub(crate) async fn answered(
        &self,
        row: &SegmentRow,
        answer: Result<Invoked>,
    ) -> Result<Outcome> {
        let fence = row.fence();
        match answer {
            Ok(Invoked::Finished) => self.finished(row, &fence).await,
            Ok(Invoked::Written) => self.complete(row, &fence, true).await.map(|()| Outcome::Done),
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
        let backend = &self.ports.backend;
        if row.custody == Custody::Backend {
            let answer = backend.invoke(invocation, hard).await;
            let ambiguous = matches!(&answer, Err(error) if error.kind() == Kind::Timeout);
            if ambiguous && self.config.is(Mutant::RepeatAmbiguousInvoke) {
                return backend.invoke(invocation, hard).await;
            }
            return answer;
        }
        let cancel = hard.child_token();
        let fence = row.fence();
        let work = backend.invoke(invocation, &cancel);
        tokio::pin!(work);
        tokio::select! {
            biased;
            answer = &mut work => answer,
            () = self.keep_attempt(&fence, asked.instant, hidden), if !self.config.is(Mutant::NoHeartbeat) => {
                warn!(attempt = row.attempt, "lease lost; the attempt is cancelled");
                cancel.cancel();
                // Whatever it answers, another owner decides now.
                let _ = tokio::time::timeout(self.config.lease / 10, work).await;
                Err(Error::new(Kind::Timeout, "the attempt's lease was lost"))
            }
        }
    }

    async fn finished(&self, row: &SegmentRow, fence: &Fence) -> Result<Outcome> {
        let there = if self.config.is(Mutant::TrustFinished) {
            true
        } else {
            let head = self.persist("head", || self.ports.objects.head(&row.output)).await?;
            head.is_some_and(|meta| meta.size >= LEAST_RESULT)
        };
        if !there {
            let text = format!(
                "the backend reported success, but there is no media file at {}",
                row.output
            );
            return self.failed(row, fence, &AttemptError::new("no_output", &text)).await;
        }
        self.complete(row, fence, true).await?;
        Ok(Outcome::Done)
    }

    async fn accepted(
        &self,
        row: &SegmentRow,
        fence: &Fence,
        locations: &Locations,
    ) -> Result<Outcome> {
        self.recent.handed_over(row, locations);
        let deadline = match self.config.is(Mutant::AcceptedAsUnanswered) {
            true => self.now() + self.config.unanswered / 4,
            false => self.now() + self.config.deadline,
        };
        let verb = || self.ledger().record_invoked(fence, locations, deadline);
        // Without this record the attempt is still open until its deadline, and evidence at the
        // output is enough to complete it: worth a warning, not a second invocation.
        if let Err(error) = self.persist("invoked", verb).await {
            warn!(error = %error.chain(), "could not record where the outcome will be");
            if self.ports.backend.custody() == Custody::Caller {
                return Ok(Outcome::Retry { after: self.config.lease });
            }
        }
        Ok(Outcome::Done)
    }

    async fn refused(&self, row: &SegmentRow, fence: &Fence, error: &Error) -> Result<Outcome> {
        let now = self.now();
        let text = error.chain();
        let reason = AttemptError::from_kind(error.kind(), &text);
        match error.kind() {
            Kind::Cancelled => {
                self.try_again(fence, now, &reason, Cost::Nothing).await?;
                Ok(Outcome::Interrupted)
            }
            Kind::Throttled | Kind::Unavailable if self.config.is(Mutant::FailOnRefusal) => {
                self.give_up(fence, &reason).await
            }
            Kind::Throttled | Kind::Unavailable => {
                let cost = match self.config.is(Mutant::CountRefusals) {
                    true => Cost::Attempt,
                    false => Cost::Nothing,
                };
                let wait = self.jittered(self.config.refused_after * 2);
                let asked = error.retry_after().unwrap_or(wait);
                let at = now + asked.min(self.config.longest_retry_after).max(wait);
                self.try_again(fence, at, &reason, cost).await
            }
            Kind::Unauthorized => {
                tracing::error!(error = %text, "the deployment is at fault: its credentials, certificates or addresses are refused");
                self.try_again(fence, now + DEPLOYMENT_REFUSED, &reason, Cost::Nothing).await
            }
            Kind::Timeout if self.config.is(Mutant::ReleaseAmbiguousInvoke) => {
                self.try_again(fence, now, &reason, Cost::Attempt).await
            }
            // It may be running: the permit stays, and evidence or the deadline decides.
            Kind::Timeout if row.custody == Custody::Backend => Ok(Outcome::Done),
            Kind::Timeout => Ok(Outcome::Wait { after: self.config.lease }),
            Kind::Rejected => self.give_up(fence, &reason).await,
            Kind::NotFound | Kind::Internal | Kind::Conflict => {
                self.failed(row, fence, &reason).await
            }
        }
    }

    /// Ends an attempt that failed: another one later, or the end of the job.
    pub(crate) async fn failed(
        &self,
        row: &SegmentRow,
        fence: &Fence,
        reason: &AttemptError,
    ) -> Result<Outcome> {
        if row.failures + 1 >= self.config.max_failures || row.tried() >= self.config.max_attempts {
            return self.give_up(fence, reason).await;
        }
        let factor = RETRY_FACTOR.saturating_pow(row.failures).min(3600);
        let wait = (self.config.retry_after * factor).min(LONGEST_RETRY);
        let at = self.now() + self.jittered(wait);
        self.try_again(fence, at, reason, Cost::Failure).await
    }

    pub(crate) async fn try_again(
        &self,
        fence: &Fence,
        at: Timestamp,
        reason: &AttemptError,
        cost: Cost,
    ) -> Result<Outcome> {
        warn!(segment = %fence.segment, attempt = fence.attempt, class = %reason.class,
            why = %reason.message, ?cost, "attempt ended without a result");
        let verb = || self.ledger().retry(fence, at, reason, cost);
        match self.persist("retry", verb).await? {
            Ended::Yes => {
                let class = metrics::class_label(&reason.class);
                self.count(metrics::RETRIES, &[("class", class)]);
                self.spares.nudge();
                Ok(Outcome::Wait { after: self.until(at) })
            }
            Ended::Fenced => Ok(Outcome::Retry { after: self.config.refused_after }),
        }
    }

    async fn give_up(&self, fence: &Fence, reason: &AttemptError) -> Result<Outcome> {
        tracing::error!(segment = %fence.segment, attempt = fence.attempt, class = %reason.class,
            why = %reason.message, "segment given up; the job fails");
        let ended = self.persist("fail", || self.ledger().fail(fence, reason, self.now())).await?;
        if ended == Ended::Yes {
            self.count(metrics::SEGMENTS, &[("outcome", "given_up")]);
        }
        self.spares.nudge();
        Ok(Outcome::Done)
    }

    /// Gives an unused permit back. It would expire by itself; this is only sooner.
    pub(crate) async fn unreserve(&self, permit: &HolderId) {
        if let Err(error) = self.ledger().unreserve(permit).await {
            warn!(error = %error.chain(), "could not give a permit back; it will expire");
        }
    }

    /// The time from now to `at`, at least a little.
    pub(crate) fn until(&self, at: Timestamp) -> Duration {
        at.since(self.now()).max(SOON)
    }
}
