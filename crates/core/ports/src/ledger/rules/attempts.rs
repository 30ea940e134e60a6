//! Permits and attempts: what may begin, and how it ends.

use parallax_job::{JobStatus, Segment, SegmentCompletion, Timestamp, Uri};

use super::change::Change;
use super::jobs::advance;
use crate::ledger::types::completion;
use crate::ledger::{
    AttemptError, BEGUN_KEPT, Begun, Completed, Cost, Ended, Fence, Holder, HolderId, Intent,
    IntentOutcome, Job, Reserve, SegmentRow, SegmentState, Work,
};
use crate::{Custody, Locations};

/// [`crate::Ledger::reserve`] over all holders.
pub fn reserve(
    holders: &[Holder],
    id: &HolderId,
    limit: u32,
    until: Timestamp,
    now: Timestamp,
) -> (Reserve, Change) {
    let void = |h: &&Holder| h.work.is_none() && h.deadline <= now && h.id != *id;
    let remove_holders: Vec<_> = holders.iter().filter(void).map(|h| h.id.clone()).collect();
    let mine = holders.iter().find(|h| h.id == *id);
    let held = holders.len() - remove_holders.len();
    if mine.is_some_and(|h| h.work.is_some()) {
        // A name is used for one permit; a bound one is never a reservation again.
        return (Reserve::Full, Change { remove_holders, ..Change::default() });
    }
    if mine.is_none() && held >= limit as usize {
        return (Reserve::Full, Change { remove_holders, ..Change::default() });
    }
    let deadline = mine.map_or(until, |h| h.deadline.max(until));
    let put_holder = Some(Holder { id: id.clone(), deadline, work: None });
    (Reserve::Granted, Change { put_holder, remove_holders, ..Change::default() })
}

/// [`crate::Ledger::record_intent`] over all holders.
pub fn record_intent(
    row: Option<&SegmentRow>,
    holders: &[Holder],
    job: Option<&Job>,
    intent: &Intent,
) -> (IntentOutcome, Change) {
    let nothing = Change::default;
    if let Some(row) = row {
        if row.nonce == intent.nonce {
            // The reply to this very request was lost.
            let outcome = if row.state.is_open() {
                IntentOutcome::Recorded(Box::new(row.clone()))
            } else {
                IntentOutcome::Over
            };
            return (outcome, nothing());
        }
        match row.state {
            SegmentState::Done | SegmentState::Failed => return (IntentOutcome::Over, nothing()),
            SegmentState::Intent | SegmentState::Invoked => {
                return (IntentOutcome::Open(Box::new(row.clone())), nothing());
            }
            SegmentState::RetryWait => {}
        }
    }
    if job.is_some_and(|job| job.status.is_terminal()) {
        return (IntentOutcome::Over, nothing());
    }
    if let Some(job) = job
        && let Some(total) = job.total_segments.filter(|total| *total != intent.segment.total)
    {
        let settled = is_settled(job);
        let retired = row.filter(|_| settled).map(retired);
        return (
            IntentOutcome::OtherCut { total, settled },
            Change { segment: retired, ..nothing() },
        );
    }
    let elsewhere = |work: &Work| {
        let (theirs, ours) = (&work.segment, &intent.segment);
        (&theirs.job_id, theirs.index) == (&ours.job_id, ours.index) && theirs.total != ours.total
    };
    if holders.iter().filter_map(|holder| holder.work.as_ref()).any(elsewhere) {
        return (IntentOutcome::Occupied, nothing());
    }
    if let Some(row) = row.filter(|row| row.next_at > intent.now) {
        return (IntentOutcome::NotDue(row.next_at), nothing());
    }
    // An expired reservation may have been counted out by somebody else: it is no permit.
    let holder = holders.iter().find(|holder| holder.id == intent.holder);
    if !holder.is_some_and(|h| h.work.is_none() && h.deadline > intent.now) {
        return (IntentOutcome::NoReservation, nothing());
    }
    let next = next_attempt(row, intent);
    let work = Some(Work { segment: intent.segment.clone(), attempt: next.attempt });
    let bound = Holder { id: intent.holder.clone(), deadline: intent.deadline, work };
    let change =
        Change { segment: Some(next.clone()), put_holder: Some(bound), ..Change::default() };
    (IntentOutcome::Recorded(Box::new(next)), change)
}

/// The row of the attempt that an intent begins, after what `row` says of earlier ones.
fn next_attempt(row: Option<&SegmentRow>, intent: &Intent) -> SegmentRow {
    SegmentRow {
        segment: intent.segment.clone(),
        state: SegmentState::Intent,
        attempt: row.map_or(1, |row| row.attempt + 1),
        failures: row.map_or(0, |row| row.failures),
        refusals: row.map_or(0, |row| row.refusals),
        nonce: intent.nonce.clone(),
        holder: Some(intent.holder.clone()),
        custody: intent.custody,
        input: intent.input.clone(),
        output: intent.output.clone(),
        created_at: row.map_or(intent.now, |row| row.created_at),
        deadline: intent.deadline,
        lease: intent.lease,
        next_at: intent.now,
        locations: Locations::default(),
        last_error: row.and_then(|row| row.last_error.clone()),
        begun: begun(row, intent.now),
    }
}

/// The beginnings of attempts after one more has begun.
fn begun(row: Option<&SegmentRow>, now: Timestamp) -> Vec<Begun> {
    let mut begun = row.map_or(Vec::new(), |row| row.begun.clone());
    if let (Some(last), Some(error)) =
        (begun.last_mut(), row.and_then(|row| row.last_error.as_ref()))
    {
        last.error = Some(error.class.clone());
    }
    begun.push(Begun { attempt: row.map_or(1, |row| row.attempt + 1), at: now, error: None });
    begun.drain(..begun.len().saturating_sub(BEGUN_KEPT));
    begun
}

/// Whether a job's number of segments is final, unless it is cut anew.
fn is_settled(job: &Job) -> bool {
    job.status >= JobStatus::ChunkingComplete
}

/// A row of a cut that the job no longer has, given up without a word to the job.
fn retired(row: &SegmentRow) -> SegmentRow {
    let text = "the job was cut anew into another number of segments";
    SegmentRow {
        state: SegmentState::Failed,
        last_error: Some(AttemptError::new("other_cut", text)),
        ..row.clone()
    }
}

fn fenced(row: Option<&SegmentRow>, fence: &Fence) -> Option<SegmentRow> {
    let same = |row: &&SegmentRow| {
        row.attempt == fence.attempt
            && row.nonce == fence.nonce
            && fence.deadline.is_none_or(|deadline| deadline == row.deadline)
    };
    row.filter(same).cloned()
}

/// Addresses by which an attempt is to be found that loses its permit without a result: what comes
/// there is late, and no holder leads to it any more.
pub fn left_behind<'a>(
    before: Option<&SegmentRow>,
    after: &'a SegmentRow,
) -> impl Iterator<Item = &'a Uri> {
    let lost = before.is_some_and(|row| row.holder.is_some()) && after.holder.is_none();
    let places = [&after.locations.response, &after.locations.failure];
    places.into_iter().flatten().filter(move |_| lost && after.state != SegmentState::Done)
}

/// [`crate::Ledger::by_location`] over the rows of the segments that permits are held for, where
/// none of the addresses that were left behind is `location`.
pub fn announced_for<'a>(
    holders: &[Holder],
    rows: impl IntoIterator<Item = &'a SegmentRow>,
    location: &Uri,
) -> Option<&'a Segment> {
    let named = |row: &&SegmentRow| {
        let places = [&row.locations.response, &row.locations.failure];
        places.into_iter().flatten().any(|place| place == location)
            && holders.iter().any(|holder| row.holder.as_ref() == Some(&holder.id))
    };
    rows.into_iter().filter(named).map(|row| &row.segment).min()
}

/// [`crate::Ledger::record_invoked`].
pub fn record_invoked(
    row: Option<&SegmentRow>,
    fence: &Fence,
    locations: &Locations,
    deadline: Timestamp,
) -> (Ended, Change) {
    let Some(mut row) = fenced(row, fence) else { return (Ended::Fenced, Change::default()) };
    match row.state {
        SegmentState::Intent => row.state = SegmentState::Invoked,
        // Evidence was quicker than the reply. Where the outcome is still helps to release.
        SegmentState::Done if row.holder.is_some() => {}
        SegmentState::Invoked => return (Ended::Yes, Change::default()),
        _ => return (Ended::Fenced, Change::default()),
    }
    row.locations = locations.clone();
    row.lease = None;
    row.custody = Custody::Backend;
    row.deadline = row.deadline.max(deadline);
    (Ended::Yes, Change { segment: Some(row), ..Change::default() })
}

/// [`crate::Ledger::renew`].
pub fn renew(row: Option<&SegmentRow>, fence: &Fence, deadline: Timestamp) -> (Ended, Change) {
    let Some(mut row) = fenced(row, fence).filter(|row| row.state.is_open()) else {
        return (Ended::Fenced, Change::default());
    };
    // A request may arrive long after it was sent, and after later ones: it takes nothing back.
    row.deadline = row.deadline.max(deadline);
    (Ended::Yes, Change { segment: Some(row), ..Change::default() })
}

/// [`crate::Ledger::complete`]. `existing` is the completion of the same job and index.
pub fn complete(
    row: Option<&SegmentRow>,
    existing: Option<&SegmentCompletion>,
    job: Option<&Job>,
    fence: &Fence,
    release: bool,
    now: Timestamp,
) -> (Completed, Change) {
    let Some(mut row) = fenced(row, fence) else {
        return (Completed::Fenced, Change::default());
    };
    if row.state == SegmentState::Failed {
        return (Completed::Fenced, Change::default());
    }
    let mut change = Change::default();
    let already = row.state == SegmentState::Done;
    if !already && job.is_some_and(|job| is_settled(job) && row.is_of_another_cut_than(job)) {
        if release {
            change.remove_holders.extend(row.holder.take());
            change.segment = Some(retired(&row));
        }
        return (Completed::OtherCut, change);
    }
    if release {
        change.remove_holders.extend(row.holder.take());
    }
    row.state = SegmentState::Done;
    // A completion of another total belongs to an earlier cut and is replaced.
    let written = existing.is_some_and(|c| c.total_segments == row.segment.total);
    if !already && !written {
        change.completion = Some(completion(&row, now));
    }
    change.segment = Some(row);
    (if already || written { Completed::Already } else { Completed::Recorded }, change)
}

/// [`crate::Ledger::complete_and_reserve`]. `mine` is the holder named `next`, if there is one: a
/// repeated request changes nothing and finds the permit passed on. The number of holders stays
/// the same, so no limit is asked.
pub fn complete_and_reserve(
    row: Option<&SegmentRow>,
    existing: Option<&SegmentCompletion>,
    job: Option<&Job>,
    mine: Option<&Holder>,
    fence: &Fence,
    next: Holder,
    now: Timestamp,
) -> ((Completed, Reserve), Change) {
    let (completed, mut change) = complete(row, existing, job, fence, true, now);
    if completed == Completed::Already && change.segment.as_ref() == row {
        let passed = mine.is_some_and(|holder| holder.work.is_none());
        let reserved = if passed { Reserve::Granted } else { Reserve::Full };
        return ((completed, reserved), Change::default());
    }
    if mine.is_some() || change.remove_holders.is_empty() {
        return ((completed, Reserve::Full), change);
    }
    change.put_holder = Some(Holder { work: None, ..next });
    ((completed, Reserve::Granted), change)
}

/// [`crate::Ledger::release`].
pub fn release(row: Option<&SegmentRow>, fence: &Fence) -> (Ended, Change) {
    let Some(mut row) = fenced(row, fence).filter(|row| row.state == SegmentState::Done) else {
        return (Ended::Fenced, Change::default());
    };
    let remove_holders = Vec::from_iter(row.holder.take());
    (Ended::Yes, Change { segment: Some(row), remove_holders, ..Change::default() })
}

/// [`crate::Ledger::retry`].
pub fn retry(
    row: Option<&SegmentRow>,
    fence: &Fence,
    at: Timestamp,
    error: &AttemptError,
    cost: Cost,
) -> (Ended, Change) {
    let Some(mut row) = fenced(row, fence) else { return (Ended::Fenced, Change::default()) };
    match row.state {
        SegmentState::RetryWait => return (Ended::Yes, Change::default()),
        state if state.is_terminal() => return (Ended::Fenced, Change::default()),
        _ => {}
    }
    row.state = SegmentState::RetryWait;
    row.next_at = at;
    row.failures += u32::from(cost == Cost::Failure);
    row.refusals += u32::from(cost == Cost::Nothing);
    row.last_error = Some(error.clone());
    let remove_holders = Vec::from_iter(row.holder.take());
    (Ended::Yes, Change { segment: Some(row), remove_holders, ..Change::default() })
}

/// [`crate::Ledger::fail`].
pub fn fail(
    row: Option<&SegmentRow>,
    job: Option<&Job>,
    fence: &Fence,
    error: &AttemptError,
    now: Timestamp,
) -> (Ended, Change) {
    let Some(mut row) = fenced(row, fence) else { return (Ended::Fenced, Change::default()) };
    match row.state {
        SegmentState::Failed => return (Ended::Yes, Change::default()),
        SegmentState::Done => return (Ended::Fenced, Change::default()),
        _ => {}
    }
    row.state = SegmentState::Failed;
    row.failures += 1;
    row.last_error = Some(error.clone());
    let reason = format!("segment {}: {}", row.segment.index, error.message);
    // What becomes of an earlier cut is no fault of the job's.
    let job = job.filter(|job| !row.is_of_another_cut_than(job));
    let (_, moved) = advance(job, JobStatus::Failed, None, Some(&reason), now);
    let remove_holders = Vec::from_iter(row.holder.take());
    (Ended::Yes, Change { segment: Some(row), remove_holders, ..moved })
}

/// [`crate::Ledger::reopen`]. The only way out of `Failed`, for the segment and for its job.
pub fn reopen(row: Option<&SegmentRow>, job: Option<&Job>, now: Timestamp) -> (Ended, Change) {
    let nothing = (Ended::Fenced, Change::default());
    let Some(mut row) = row.cloned() else { return nothing };
    match row.state {
        SegmentState::Failed => {}
        // The reply to this very request was lost.
        SegmentState::RetryWait if row.failures == 0 && row.next_at == now => {
            return (Ended::Yes, Change::default());
        }
        _ => return nothing,
    }
    let revived = match job {
        // Another cut than the job's own is nobody's business any more.
        Some(job) if job.total_segments != Some(row.segment.total) => return nothing,
        Some(job) if job.is_cancelled() => return nothing,
        Some(job) if job.status == JobStatus::Failed => {
            Some(Job { status: JobStatus::ChunkingComplete, reason: None, ..job.clone() })
        }
        Some(job) if job.status.is_terminal() => return nothing,
        Some(_) => None,
        None => return nothing,
    };
    row.state = SegmentState::RetryWait;
    row.failures = 0;
    // What was tried before counts no more, but the number of the next attempt goes on.
    row.refusals = row.attempt;
    row.next_at = now;
    (Ended::Yes, Change { segment: Some(row), job: revived, ..Change::default() })
}

/// [`crate::Ledger::hasten`].
pub fn hasten(row: Option<&SegmentRow>, now: Timestamp) -> (Ended, Change) {
    match row.filter(|row| row.state == SegmentState::RetryWait) {
        None => (Ended::Fenced, Change::default()),
        Some(row) if row.next_at <= now => (Ended::Yes, Change::default()),
        Some(row) => {
            let segment = Some(SegmentRow { next_at: now, ..row.clone() });
            (Ended::Yes, Change { segment, ..Change::default() })
        }
    }
}
