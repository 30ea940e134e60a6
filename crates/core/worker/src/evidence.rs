//! From evidence to a verdict on an open attempt.
//!
//! Evidence is read from the object store, never taken from an event: whoever may write an object
//! may forge an event, and an event may be older than the attempt it seems to speak of.

use std::sync::Arc;
use std::time::Duration;

use parallax_job::{Segment, Timestamp, Uri};
use parallax_ports::ledger::{AttemptError, Cost, SegmentRow, SegmentState};
use parallax_ports::{Custody, Result, request};
use tracing::{Instrument, info, info_span};

use crate::clocks;
use crate::context::Context;
use crate::delays::GRAIN;
use crate::mutant::buggify;
use crate::verdicts::Verdicts;

/// The smallest result, in bytes: the box that a media file begins with, with a brand and nothing else.
/// Less than that is what is left of a write, or a server's words about an error.
pub(crate) const LEAST_RESULT: u64 = 16;

/// Looks at what attempts left behind, and passes the verdict that it proves.
#[derive(Debug)]
pub(crate) struct Evidence {
    context: Arc<Context>,
    verdicts: Arc<Verdicts>,
}

impl Evidence {
    pub(crate) fn new(context: Arc<Context>, verdicts: Arc<Verdicts>) -> Self {
        Self { context, verdicts }
    }

    /// Looks at a segment's evidence and records what it proves.
    pub(crate) async fn observe(&self, segment: &Segment) -> Result<()> {
        let span = info_span!("observe", job_id = %segment.job_id, segment_index = segment.index);
        self.look(segment).instrument(span).await
    }

    async fn look(&self, segment: &Segment) -> Result<()> {
        let verb = || self.context.ledger().segment(segment);
        match self.context.persist("segment", verb).await? {
            Some(row) => self.look_at(&row).await,
            None => Ok(()),
        }
    }

    /// The same with the segment's row.
    pub(crate) async fn look_at(&self, row: &SegmentRow) -> Result<()> {
        match row.state {
            SegmentState::Intent | SegmentState::Invoked => self.observe_open(row).await,
            SegmentState::Done if row.holder.is_some() => self.observe_kept(row).await,
            // The result of a slow earlier attempt is as good as any.
            SegmentState::RetryWait if self.has_result(row, false).await? => {
                self.verdicts.complete(row, &row.fence(), true).await
            }
            _ => Ok(()),
        }
    }

    /// Looks at the attempt whose outcome was announced for `location`; false when there is none.
    pub(crate) async fn outcome_at(&self, location: &Uri) -> Result<bool> {
        if let Some(row) = self.context.recent.take_handed_over(location) {
            self.observe_handed_over(&row, location).await?;
            return Ok(true);
        }
        match self.context.ledger().by_location(location).await? {
            Some(segment) => self.observe(&segment).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Looks at an attempt that this process handed over itself, because an event says that its
    /// outcome was written at `location`. That address belongs to this attempt alone and whoever
    /// could forge its event could write the object, so the attempt is over; whether there is a
    /// result is looked at. The row may be out of date; what follows stands under its fence.
    pub(crate) async fn observe_handed_over(&self, row: &SegmentRow, location: &Uri) -> Result<()> {
        let segment = &row.segment;
        let span = info_span!("observe", job_id = %segment.job_id, segment_index = segment.index);
        async {
            let sign = Sign::at(row, location);
            let fence = row.fence();
            if self.has_result(row, matches!(sign, Sign::Response)).await? {
                return self.verdicts.complete(row, &fence, true).await;
            }
            let reason = self.failure_reason(sign, row).await;
            self.verdicts.failed(row, &fence, &reason).await.map(drop)
        }
        .instrument(span)
        .await
    }

    async fn observe_open(&self, row: &SegmentRow) -> Result<()> {
        let overdue = row.deadline <= self.context.now();
        // This process may have been slow since it read the row, and the attempt's owner not: a
        // verdict on a deadline holds while that is the deadline.
        let stale = buggify!(self.context, StaleVerdict);
        let fence = if overdue && !stale { row.deadline_fence() } else { row.fence() };
        if row.custody == Custody::Caller && !overdue {
            // Its owner lives and will say what became of it.
            return Ok(());
        }
        let over = self.invocation_over(row).await?;
        let abandoned = !overdue && self.is_abandoned(row).await?;
        let fence = if abandoned { row.deadline_fence() } else { fence };
        let answered = matches!(over, Some(Sign::Response));
        if self.has_result(row, answered).await? {
            // Without a terminal sign the backend may still be busy: the permit stays.
            let release = over.is_some()
                || overdue
                || abandoned
                || buggify!(self.context, ReleaseOnCompletion);
            return self.verdicts.complete(row, &fence, release).await;
        }
        match over {
            Some(sign) => {
                let reason = self.failure_reason(sign, row).await;
                self.verdicts.failed(row, &fence, &reason).await?;
            }
            None if overdue => {
                let reason = AttemptError::new("expired", "no outcome before the deadline");
                if row.tried() >= self.context.config.max_attempts {
                    self.verdicts.failed(row, &fence, &reason).await?;
                } else {
                    self.verdicts
                        .try_again(&fence, self.context.now(), &reason, Cost::Attempt)
                        .await?;
                }
            }
            None if abandoned => {
                let text = "its worker ended before the backend was asked";
                let reason = AttemptError::new("abandoned", text);
                self.verdicts.try_again(&fence, self.context.now(), &reason, Cost::Nothing).await?;
            }
            None => {}
        }
        Ok(())
    }

    /// Whether an attempt reached nobody and never will: its owner's time to ask is over, and it
    /// left no request.
    async fn is_abandoned(&self, row: &SegmentRow) -> Result<bool> {
        let forget = buggify!(self.context, ForgetPrevious);
        let over = row.lease.map_or(forget, |lease| lease <= self.context.now());
        if row.state != SegmentState::Intent || !over || buggify!(self.context, IgnoreAbandoned) {
            return Ok(false);
        }
        let Some(uri) = self.context.ports.backend.request_at(&row.segment) else {
            return Ok(false);
        };
        if buggify!(self.context, GuessAbandoned) {
            return Ok(true);
        }
        if forget && self.context.ports.objects.note(&uri).await?.is_none() {
            return Ok(true);
        }
        let look = || request::may_be_asked(&*self.context.ports.objects, &uri, row);
        Ok(!self.context.persist("request", look).await?)
    }

    /// Whether there is a result of the row's. Unless this very attempt was answered with success it
    /// may be another cut's, come late.
    pub(crate) async fn has_result(&self, row: &SegmentRow, answered: bool) -> Result<bool> {
        Ok(self.output_exists(row).await? && (answered || self.is_alone(row).await?))
    }

    /// Whether no other cut of the source has or had attempts at this index, whose results go to the
    /// same address.
    async fn is_alone(&self, row: &SegmentRow) -> Result<bool> {
        if buggify!(self.context, TakeAnyCut) {
            return Ok(true);
        }
        let Segment { job_id, index, total, .. } = &row.segment;
        let rows = || self.context.ledger().segments_at(job_id, *index);
        let rows = self.context.persist("segments", rows).await?;
        Ok(rows.iter().all(|other| other.segment.total == *total))
    }

    async fn observe_kept(&self, row: &SegmentRow) -> Result<()> {
        if row.deadline > self.context.now() && self.invocation_over(row).await?.is_none() {
            return Ok(());
        }
        self.verdicts.release(row, &row.deadline_fence()).await
    }

    async fn output_exists(&self, row: &SegmentRow) -> Result<bool> {
        if buggify!(self.context, TrustEvent) {
            return Ok(true);
        }
        let head =
            self.context.persist("head", || self.context.ports.objects.head(&row.output)).await?;
        let Some(found) = head.filter(|meta| meta.size >= LEAST_RESULT) else { return Ok(false) };
        if buggify!(self.context, CompareOwnClock) {
            return Ok(found.modified >= row.created_at - Duration::from_secs(60));
        }
        // What is older than the segment is the result of an earlier cut of the same source. Both
        // times are the store's own: no other clock is asked.
        let newer_than = |input: Timestamp| found.modified + GRAIN >= input;
        if self.context.recent.written_at(&row.segment).is_some_and(newer_than) {
            return Ok(true);
        }
        let input =
            self.context.persist("head", || self.context.ports.objects.head(&row.input)).await?;
        let newer = input.is_none_or(|input| newer_than(input.modified));
        if !newer {
            info!(output = %row.output, "older than its segment: an earlier cut's result");
        }
        Ok(newer)
    }

    /// The sign that the backend is done with the attempt, whatever came of it.
    async fn invocation_over<'a>(&self, row: &'a SegmentRow) -> Result<Option<Sign<'a>>> {
        let announced = &row.locations;
        if announced.response.is_none() && announced.failure.is_none() {
            // The backend promised nothing but the output itself.
            let output_is_all =
                row.state == SegmentState::Invoked && self.has_result(row, false).await?;
            return Ok(output_is_all.then_some(Sign::Response));
        }
        for uri in [&announced.failure, &announced.response].into_iter().flatten() {
            if let Some(sign) = self.sign_at(row, uri).await? {
                return Ok(Some(sign));
            }
        }
        Ok(None)
    }

    /// The sign that stands at one of the announced locations.
    async fn sign_at<'a>(&self, row: &'a SegmentRow, location: &Uri) -> Result<Option<Sign<'a>>> {
        if self
            .context
            .persist("head", || self.context.ports.objects.head(location))
            .await?
            .is_none()
        {
            return Ok(None);
        }
        Ok(Some(Sign::at(row, location)))
    }

    async fn failure_reason(&self, sign: Sign<'_>, row: &SegmentRow) -> AttemptError {
        let Sign::Failure(uri) = sign else {
            return self.no_output(row);
        };
        let text = match self.context.ports.objects.read(uri, 64 << 10).await {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("failure object {uri}: {}", error.chain()),
        };
        AttemptError::new("model", &text)
    }

    /// The backend is done with the attempt, and there is no result.
    pub(crate) fn no_output(&self, row: &SegmentRow) -> AttemptError {
        let note = clocks::note(&self.context);
        let text =
            format!("the backend answered, but there is no media file at {}{note}", row.output);
        AttemptError::new("no_output", &text)
    }
}

enum Sign<'a> {
    Response,
    Failure(&'a Uri),
}

impl<'a> Sign<'a> {
    /// What stands at one of the locations that were announced for an attempt.
    fn at(row: &'a SegmentRow, location: &Uri) -> Self {
        match &row.locations.failure {
            Some(uri) if uri == location => Sign::Failure(uri),
            _ => Sign::Response,
        }
    }
}
