//! What an endpoint tells its topics: the second way by which an outcome becomes known.
//!
//! The message is matched to an attempt by where its outcome was written, by the name that the
//! invocation was given, or by where its request was read from; then the objects are looked at as
//! for any event. Only where the endpoint writes no failure objects is the message itself the sign
//! of a failure: there is no other.

use std::time::Duration;

use parallax_job::{InferenceResult, ObjectKey, Segment, Uri};
use parallax_ports::ledger::AttemptError;
use parallax_ports::{Message, Result};
use tracing::info;

use crate::Pipeline;
use crate::outcome::Outcome;
use crate::output_events::EARLY_DELIVERIES;

impl Pipeline {
    /// Follows up one `InferenceResult`.
    pub(crate) async fn inference_result(
        &self,
        message: &Message,
        result: &InferenceResult,
    ) -> Result<Outcome> {
        for location in [&result.response_location, &result.failure_location].into_iter().flatten()
        {
            if self.outcome_at(location).await? {
                return Ok(Outcome::Done);
            }
        }
        if let Some((segment, attempt)) = self.attempt_named(result).await? {
            self.observe(&segment).await?;
            self.believe_failure(&segment, attempt, result).await?;
            return Ok(Outcome::Done);
        }
        if let Some(ObjectKey::InvocationRequest { job_id, index }) = self.request_at(result) {
            let rows = self.ledger().segments_at(&job_id, index).await?;
            for row in &rows {
                self.observe(&row.segment).await?;
            }
            if !rows.is_empty() {
                return Ok(Outcome::Done);
            }
        }
        if message.receive_count < EARLY_DELIVERIES {
            return Ok(Outcome::Retry { after: Duration::from_secs(5) });
        }
        info!(id = result.inference_id, "a result that no open attempt waits for");
        Ok(Outcome::Done)
    }

    /// Looks at the attempt whose outcome was announced for `location`; false when there is none.
    pub(crate) async fn outcome_at(&self, location: &Uri) -> Result<bool> {
        if let Some(row) = self.recent.take_handed_over(location) {
            self.observe_handed_over(&row, location).await?;
            return Ok(true);
        }
        match self.ledger().by_location(location).await? {
            Some(segment) => self.observe(&segment).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// The open attempt that was invoked under the result's name.
    async fn attempt_named(&self, result: &InferenceResult) -> Result<Option<(Segment, u32)>> {
        let Some(id) = &result.inference_id else { return Ok(None) };
        let holders = self.ledger().holders().await?;
        let mut work = holders.into_iter().filter_map(|holder| holder.work);
        let found = work.find(|work| {
            self.ports.backend.attempt_name(&work.segment, work.attempt).as_ref() == Some(id)
        });
        Ok(found.map(|work| (work.segment, work.attempt)))
    }

    /// The request object that the result names, where it is one of the pipeline's.
    fn request_at(&self, result: &InferenceResult) -> Option<ObjectKey> {
        let Some(Uri::Object { bucket, key, .. }) = &result.input else { return None };
        if bucket != self.config.buckets.output.name() {
            return None;
        }
        key.parse().ok()
    }

    /// Ends a failed attempt for which no failure object was announced.
    async fn believe_failure(
        &self,
        segment: &Segment,
        attempt: u32,
        result: &InferenceResult,
    ) -> Result<()> {
        let Some(reason) = &result.failure else { return Ok(()) };
        let Some(row) = self.ledger().segment(segment).await? else { return Ok(()) };
        if row.state.is_open() && row.attempt == attempt && row.locations.failure.is_none() {
            self.failed(&row, &row.fence(), &AttemptError::new("model", reason)).await?;
        }
        Ok(())
    }
}
