//! How attempts end: the only writer of ends.
//!
//! Whoever knows what became of an attempt, because it ran it or because it looked at the evidence, says
//! so here. Each verdict stands under a fence: it is void once the ledger knows better.

use std::sync::Arc;

use parallax_job::Timestamp;
use parallax_ports::Result;
use parallax_ports::ledger::{
    AttemptError, Completed, Cost, Ended, Fence, HolderId, Reserve, SegmentRow, SegmentState,
};
use tracing::{error, info, warn};

use crate::context::Context;
use crate::delays::{LONGEST_RETRY, RETRY_FACTOR};
use crate::metrics;
use crate::outcome::Outcome;
use crate::permits::{Permit, PermitPool};

/// Records how attempts ended, and sets going what follows from it.
#[derive(Debug)]
pub(crate) struct Verdicts {
    context: Arc<Context>,
    permits: Arc<PermitPool>,
}

impl Verdicts {
    pub(crate) fn new(context: Arc<Context>, permits: Arc<PermitPool>) -> Self {
        Self { context, permits }
    }

    /// Records the completion of the segment of `row` under a fence of it, and asks for reassembly
    /// if it was the last one.
    pub(crate) async fn complete(
        &self,
        row: &SegmentRow,
        fence: &Fence,
        release: bool,
    ) -> Result<()> {
        match self.record_completion(fence, release).await? {
            Completed::Recorded => {
                self.context.count(metrics::SEGMENTS, &[("outcome", "completed")]);
                self.converted(row).await;
                info!(segment = %fence.segment, attempt = fence.attempt, "segment completed");
            }
            Completed::Already => {}
            Completed::OtherCut => {
                warn!(segment = %fence.segment, attempt = fence.attempt,
                    "a result of another cut of the source than the job's; not used");
                self.context.count(metrics::OTHER_CUTS, &[("what", "result")]);
                self.permits.notify_freed();
                return Ok(());
            }
            Completed::Fenced => {
                warn!(segment = %fence.segment, attempt = fence.attempt, "completion came too late");
                return Ok(());
            }
        }
        if release {
            self.context.recent.done(&fence.segment);
        }
        if self.context.config.completes {
            self.context.triggers.completed(&fence.segment);
        }
        Ok(())
    }

    /// Tells whoever keeps statistics how long the segment took, whichever process began it.
    async fn converted(&self, row: &SegmentRow) {
        let known = self.context.recent.take_size(&row.segment);
        let metrics = &self.context.ports.metrics;
        if !metrics.keeps_conversions() {
            return;
        }
        let begun = match row.state {
            // Which attempt the result is of cannot be told; the first is where it all began.
            SegmentState::RetryWait => row.created_at,
            _ => row.next_at,
        };
        let took = self.context.now().since(begun);
        let bytes = match known {
            Some(bytes) => bytes,
            None => {
                let head = self.context.ports.objects.head(&row.input).await;
                head.ok().flatten().map_or(0, |meta| meta.size)
            }
        };
        metrics.converted(took, bytes);
    }

    /// A permit that is given back goes to the segments loop where that waits for one.
    async fn record_completion(&self, fence: &Fence, release: bool) -> Result<Completed> {
        let now = self.context.now();
        if !release || !self.permits.wanted() {
            let verb = || self.context.ledger().complete(fence, release, now);
            return self.context.persist("complete", verb).await;
        }
        let next = HolderId(self.context.ports.ids.next());
        let until = now + self.context.config.reservation;
        let verb = || self.context.ledger().complete_and_reserve(fence, &next, until, now);
        let (completed, reserved) = self.context.persist("complete", verb).await?;
        if reserved == Reserve::Granted
            && let Some(late) = self.permits.pass_on(Permit { holder: next, until })
        {
            self.permits.unreserve(&late.holder).await;
        }
        Ok(completed)
    }

    /// Gives back the permit that a completed segment kept.
    pub(crate) async fn release(&self, row: &SegmentRow, fence: &Fence) -> Result<()> {
        if self.context.persist("release", || self.context.ledger().release(fence)).await?
            == Ended::Yes
        {
            info!(segment = %row.segment, "kept permit released");
            self.permits.notify_freed();
        }
        Ok(())
    }

    /// Ends an attempt that failed: another one later, or the end of the job.
    pub(crate) async fn failed(
        &self,
        row: &SegmentRow,
        fence: &Fence,
        reason: &AttemptError,
    ) -> Result<Outcome> {
        if row.failures + 1 >= self.context.config.max_failures
            || row.tried() >= self.context.config.max_attempts
        {
            return self.give_up(fence, reason).await;
        }
        let factor = RETRY_FACTOR.saturating_pow(row.failures).min(3600);
        let wait = (self.context.config.retry_after * factor).min(LONGEST_RETRY);
        let at = self.context.now() + self.context.jittered(wait);
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
        let verb = || self.context.ledger().retry(fence, at, reason, cost);
        match self.context.persist("retry", verb).await? {
            Ended::Yes => {
                let class = metrics::class_label(&reason.class);
                self.context.count(metrics::RETRIES, &[("class", class)]);
                self.permits.notify_freed();
                Ok(Outcome::Wait { after: self.context.until(at) })
            }
            Ended::Fenced => Ok(Outcome::Retry { after: self.context.config.refused_after }),
        }
    }

    /// Gives a segment up, and its job with it.
    pub(crate) async fn give_up(&self, fence: &Fence, reason: &AttemptError) -> Result<Outcome> {
        error!(segment = %fence.segment, attempt = fence.attempt, class = %reason.class,
            why = %reason.message, "segment given up; the job fails");
        let ended = self
            .context
            .persist("fail", || self.context.ledger().fail(fence, reason, self.context.now()))
            .await?;
        if ended == Ended::Yes {
            self.context.count(metrics::SEGMENTS, &[("outcome", "given_up")]);
        }
        self.permits.notify_freed();
        Ok(Outcome::Done)
    }
}
