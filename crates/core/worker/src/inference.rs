//! What an endpoint tells its topics: the second way by which an outcome becomes known.
//!
//! The message is matched to an attempt by where its outcome was written, by the name that the
//! invocation was given, or by where its request was read from; then the objects are looked at as
//! for any event. Only where no object of that meaning was announced, because the endpoint writes
//! no failure objects or because its answer was lost, is the message itself the sign that the
//! attempt is over: there is no other. Whether there is a result is looked at even then.

use std::sync::Arc;

use parallax_job::{InferenceResult, ObjectKey, Uri};
use parallax_ports::ledger::{AttemptError, SegmentRow, SegmentState};
use parallax_ports::{Message, Result};
use tracing::{Instrument, info, info_span};

use crate::context::Context;
use crate::delays::EARLY_EVENT;
use crate::evidence::Evidence;
use crate::mutant::buggify;
use crate::outcome::Outcome;
use crate::verdicts::Verdicts;

/// Deliveries for which an outcome that nobody announced yet is waited for: its announcement may
/// be on its way into the ledger. After that the sweep finds it, or it is not ours.
pub(crate) const EARLY_DELIVERIES: u32 = 3;

/// Follows up what an endpoint tells its topics.
#[derive(Debug)]
pub(crate) struct InferenceResults {
    context: Arc<Context>,
    evidence: Arc<Evidence>,
    verdicts: Arc<Verdicts>,
}

impl InferenceResults {
    pub(crate) fn new(
        context: Arc<Context>,
        evidence: Arc<Evidence>,
        verdicts: Arc<Verdicts>,
    ) -> Self {
        Self { context, evidence, verdicts }
    }

    /// Follows up one `InferenceResult`.
    pub(crate) async fn follow_up(
        &self,
        message: &Message,
        result: &InferenceResult,
    ) -> Result<Outcome> {
        if buggify!(self.context, TrustTopic)
            && result.failure.is_none()
            && let Some(row) = self.attempt_named(result).await?
        {
            self.verdicts.complete(&row, &row.fence(), true).await?;
            return Ok(Outcome::Done);
        }
        for location in [&result.response_location, &result.failure_location].into_iter().flatten()
        {
            if self.evidence.outcome_at(location).await? {
                return Ok(Outcome::Done);
            }
        }
        if let Some(row) = self.attempt_named(result).await? {
            let (job_id, segment_index) = (&row.segment.job_id, row.segment.index);
            let span = info_span!("observe", %job_id, segment_index);
            self.told_of(&row, result).instrument(span).await?;
            return Ok(Outcome::Done);
        }
        if let Some(ObjectKey::InvocationRequest { job_id, index }) = self.request_at(result) {
            let rows = self.context.ledger().segments_at(&job_id, index).await?;
            for row in &rows {
                self.evidence.observe(&row.segment).await?;
            }
            if !rows.is_empty() {
                return Ok(Outcome::Done);
            }
        }
        if message.receive_count < EARLY_DELIVERIES {
            return Ok(Outcome::Retry { after: EARLY_EVENT });
        }
        info!(id = result.inference_id, "a result that no open attempt waits for");
        Ok(Outcome::Done)
    }

    /// The attempt that was invoked under the result's name, while it holds a permit.
    async fn attempt_named(&self, result: &InferenceResult) -> Result<Option<SegmentRow>> {
        let Some(id) = &result.inference_id else { return Ok(None) };
        let holders = self.context.ledger().holders().await?;
        let mut work = holders.into_iter().filter_map(|holder| holder.work);
        let any = buggify!(self.context, TakeAnyAttempt);
        let found = work.find(|work| {
            let mut attempts = if any { 1..=work.attempt } else { work.attempt..=work.attempt };
            let name = |attempt| self.context.ports.backend.attempt_name(&work.segment, attempt);
            attempts.any(|attempt| name(attempt).as_ref() == Some(id))
        });
        let Some(work) = found else { return Ok(None) };
        let row = self
            .context
            .persist("segment", || self.context.ledger().segment(&work.segment))
            .await?;
        Ok(row.filter(|row| row.attempt == work.attempt))
    }

    /// The request object that the result names, where it is one of the pipeline's.
    fn request_at(&self, result: &InferenceResult) -> Option<ObjectKey> {
        let Some(Uri::Object { bucket, key, .. }) = &result.input else { return None };
        if bucket != self.context.config.buckets.output.name() {
            return None;
        }
        key.parse().ok()
    }

    /// Follows up what an endpoint says of an attempt.
    async fn told_of(&self, row: &SegmentRow, result: &InferenceResult) -> Result<()> {
        let (announced, reason) = match &result.failure {
            Some(reason) => (&row.locations.failure, AttemptError::new("model", reason)),
            None => (&row.locations.response, self.evidence.no_output(row)),
        };
        if announced.is_some() {
            return self.evidence.look_at(row).await;
        }
        let fence = row.fence();
        match row.state {
            SegmentState::Done if row.holder.is_some() => self.verdicts.release(row, &fence).await,
            state if !state.is_open() => self.evidence.look_at(row).await,
            _ if self.evidence.has_result(row, result.failure.is_none()).await? => {
                self.verdicts.complete(row, &fence, true).await
            }
            _ => self.verdicts.failed(row, &fence, &reason).await.map(drop),
        }
    }
}
