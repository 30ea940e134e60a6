//! What the ledger stores and what its verbs answer.

use std::fmt;
use std::time::Duration;

use parallax_job::{JobId, JobStatus, Mode, Segment, SegmentCompletion, Timestamp, Uri};
use serde::{Deserialize, Serialize};

use crate::{Custody, Kind, Locations};

/// The name of a permit's holder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HolderId(pub String);

impl fmt::Display for HolderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The attempt that a permit is held for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// The segment.
    pub segment: Segment,
    /// The attempt.
    pub attempt: u32,
}

/// A held permit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its name.
    pub id: HolderId,
    /// A reservation is void after this. Of a bound permit it is what the intent said; the row that
    /// it is bound to knows better.
    pub deadline: Timestamp,
    /// `None` for a reservation.
    pub work: Option<Work>,
}

/// Where a segment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentState {
    /// An attempt is about to start, is running, or was answered ambiguously.
    Intent,
    /// The backend accepted the attempt.
    Invoked,
    /// No attempt runs; the next may start at `next_at`.
    RetryWait,
    /// Completed.
    Done,
    /// Given up.
    Failed,
}

impl SegmentState {
    /// Every state.
    pub const ALL: [SegmentState; 5] =
        [Self::Intent, Self::Invoked, Self::RetryWait, Self::Done, Self::Failed];

    /// Whether an attempt may be running.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Intent | Self::Invoked)
    }

    /// Whether nothing further will happen.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Done | Self::Failed)
    }

    /// The name in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Invoked => "invoked",
            Self::RetryWait => "retry_wait",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// Why an attempt ended without a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptError {
    /// Its class, as in metric labels.
    pub class: String,
    /// For a person, at most 1 KiB.
    pub message: String,
}

impl AttemptError {
    /// From a class and a message, the latter cut to 1 KiB.
    pub fn new(class: impl Into<String>, message: &str) -> Self {
        let mut end = message.len().min(1024);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        Self { class: class.into(), message: message[..end].to_owned() }
    }

    /// From a port's error.
    pub fn from_kind(kind: Kind, message: &str) -> Self {
        Self::new(kind.as_str(), message)
    }
}

/// Everything the ledger knows of one segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRow {
    /// Identity.
    pub segment: Segment,
    /// Where it stands.
    pub state: SegmentState,
    /// Number of the latest attempt, from 1.
    pub attempt: u32,
    /// Attempts that failed and count.
    pub failures: u32,
    /// Attempts that do not count: refused by the backend, interrupted by this side, or made before
    /// the segment was reopened.
    #[serde(default)]
    pub refusals: u32,
    /// Who started the latest attempt.
    pub nonce: String,
    /// The permit that the latest attempt holds, while it does.
    pub holder: Option<HolderId>,
    /// Who keeps the attempt alive.
    pub custody: Custody,
    /// Where the segment is.
    pub input: Uri,
    /// Where its result goes.
    pub output: Uri,
    /// When the first attempt was recorded.
    pub created_at: Timestamp,
    /// When the open attempt is given up unless evidence came.
    pub deadline: Timestamp,
    /// Until when the attempt's owner may ask the backend, where its request can be looked for
    /// afterwards; otherwise only the deadline ends an attempt that nothing is heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Timestamp>,
    /// When the next attempt may start, in `RetryWait`.
    pub next_at: Timestamp,
    /// Where the outcome of the latest attempt will be.
    pub locations: Locations,
    /// Why the latest unsuccessful attempt ended.
    pub last_error: Option<AttemptError>,
    /// The latest attempts, at most [`BEGUN_KEPT`], in the order in which they began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub begun: Vec<Begun>,
}

/// The most attempts of which a row says when they began.
pub const BEGUN_KEPT: usize = 12;

/// The beginning of an attempt, and how it ended once another has begun after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The attempt.
    pub attempt: u32,
    /// When it was recorded.
    pub at: Timestamp,
    /// The class of what it ended with; `None` of the latest one, about which the row itself says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl SegmentRow {
    /// The fence of the latest attempt.
    pub fn fence(&self) -> Fence {
        Fence {
            segment: self.segment.clone(),
            attempt: self.attempt,
            nonce: self.nonce.clone(),
            deadline: None,
        }
    }

    /// The fence of the latest attempt while its deadline is this one: for verdicts that rest on
    /// the deadline, which its owner may be moving meanwhile.
    pub fn deadline_fence(&self) -> Fence {
        Fence { deadline: Some(self.deadline), ..self.fence() }
    }

    /// Whether the row is of a cut that the job no longer has.
    pub fn is_of_another_cut_than(&self, job: &Job) -> bool {
        job.total_segments.is_some_and(|total| total != self.segment.total)
    }

    /// Attempts that count towards the most that a segment may have.
    pub fn tried(&self) -> u32 {
        self.attempt.saturating_sub(self.refusals)
    }
}

/// Names one attempt: a verb under a fence changes nothing once another attempt has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The segment.
    pub segment: Segment,
    /// The attempt.
    pub attempt: u32,
    /// Who started it.
    pub nonce: String,
    /// The deadline that the attempt must still have; `None` for any.
    pub deadline: Option<Timestamp>,
}

/// What an attempt that ended without a result costs its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// Nothing: the backend refused it, or this side interrupted it.
    Nothing,
    /// One of a bounded number of attempts: nobody knows what became of it.
    Attempt,
    /// One of few failures.
    Failure,
}

/// A request to start an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The segment.
    pub segment: Segment,
    /// The reservation to bind.
    pub holder: HolderId,
    /// Names this request, so that it can be repeated.
    pub nonce: String,
    /// Who will keep the attempt alive.
    pub custody: Custody,
    /// Where the segment is.
    pub input: Uri,
    /// Where its result goes.
    pub output: Uri,
    /// When the attempt is given up unless renewed or proven.
    pub deadline: Timestamp,
    /// Until when its owner may ask the backend; see [`SegmentRow::lease`].
    pub lease: Option<Timestamp>,
    /// Now.
    pub now: Timestamp,
}

/// Answer to [`super::Ledger::reserve`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserve {
    /// The permit is reserved.
    Granted,
    /// Every permit is held.
    Full,
}

/// Answer to [`super::Ledger::record_intent`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntentOutcome {
    /// The attempt may start.
    Recorded(Box<SegmentRow>),
    /// Another attempt is open.
    Open(Box<SegmentRow>),
    /// The next attempt is not due before this time.
    NotDue(Timestamp),
    /// The segment is done or failed, or its job has ended: there is nothing to do.
    Over,
    /// The job is cut into this many segments, which is another number than the segment's. Where
    /// the cut is settled the segment is nobody's business any more, and a row that waited for
    /// another attempt at it is given up; otherwise that number may be about to change.
    OtherCut {
        /// The job's number of segments.
        total: u32,
        /// Whether the job was fully cut.
        settled: bool,
    },
    /// An attempt at another cut's segment of this index may still write to the same address.
    Occupied,
    /// The reservation is gone; reserve again.
    NoReservation,
}

/// Answer to verbs under a fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Done, now or before.
    Yes,
    /// Another attempt has begun or the segment has ended: nothing was changed.
    Fenced,
}

/// Answer to [`super::Ledger::complete`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completed {
    /// The completion was written by this call.
    Recorded,
    /// It had been written before; a kept permit was released if that was asked.
    Already,
    /// Another attempt has begun or the segment has failed: nothing was changed.
    Fenced,
    /// The job was cut anew into another number of segments: no completion was written. Where the
    /// permit was to be released, it is and the segment is over.
    OtherCut,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Identity.
    pub job_id: JobId,
    /// Kind of result.
    pub mode: Mode,
    /// Where it stands.
    pub status: JobStatus,
    /// Number of segments, once known.
    pub total_segments: Option<u32>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was completed.
    pub completed_at: Option<Timestamp>,
    /// What to call it.
    pub title: Option<String>,
    /// Why it failed.
    pub reason: Option<String>,
    /// When its source was uploaded, where whoever did recorded that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uploaded_at: Option<Timestamp>,
    /// The bytes of its source, where whoever uploaded it recorded them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_file_size_bytes: Option<u64>,
}

/// How the reason of a job begins that an operator has cancelled.
const CANCELLED: &str = "cancelled by an operator";

impl Job {
    /// A new job.
    pub fn new(job_id: JobId, mode: Mode, now: Timestamp) -> Self {
        Self {
            job_id,
            mode,
            status: JobStatus::Created,
            total_segments: None,
            created_at: now,
            completed_at: None,
            title: None,
            reason: None,
            uploaded_at: None,
            source_file_size_bytes: None,
        }
    }

    /// The reason of a job that an operator cancels.
    pub fn cancellation(because: Option<&str>) -> String {
        because.map_or(CANCELLED.to_owned(), |because| format!("{CANCELLED}: {because}"))
    }

    /// Whether it failed because an operator said so, and not by what went wrong with it.
    pub fn is_cancelled(&self) -> bool {
        let by_word = |reason: &String| reason.starts_with(CANCELLED);
        self.status == JobStatus::Failed && self.reason.as_ref().is_some_and(by_word)
    }
}

/// Where a part of a list ended. Only the ledger that made it reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

/// A part of the jobs in one status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SomeJobs {
    /// They, in any order.
    pub jobs: Vec<Job>,
    /// From where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

/// Answer to [`super::Ledger::advance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advance {
    /// Moved by this call.
    Moved,
    /// It was there already.
    Already,
    /// The edge is not allowed from this status.
    Refused(JobStatus),
    /// No such job.
    NotFound,
}

/// The reassembly trigger of a job, and the right to reassemble it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerRow {
    /// The job.
    pub job_id: JobId,
    /// Into how many segments the job was cut that this reassembles; `None` where an earlier release
    /// or another part decided it. One of another cut than the job's counts for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u32>,
    /// When the trigger was first decided.
    pub triggered_at: Timestamp,
    /// Who is to send the message.
    pub nonce: String,
    /// When that was decided.
    pub claimed_at: Timestamp,
    /// When the message had been sent.
    pub sent_at: Option<Timestamp>,
    /// Who reassembles.
    pub lock_nonce: Option<String>,
    /// Until when.
    pub lock_until: Timestamp,
}

/// When a reassembly message is sent once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resend {
    /// After a sender was chosen that never confirmed.
    pub unconfirmed: Duration,
    /// After a message was sent, the job is not complete and nobody works on it.
    pub unfinished: Duration,
}

/// Answer to [`super::Ledger::trigger`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TriggerOutcome {
    /// Send the message, then call [`super::Ledger::triggered`].
    Send,
    /// Not every segment is complete, or the job is not ready for it.
    NotReady,
    /// Somebody else is sending.
    Pending,
    /// It was sent.
    Sent,
}

/// Answer to [`super::Ledger::lock_reassembly`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lock {
    /// Yours. The job's total is given.
    Acquired(u32),
    /// Somebody else's until this time.
    Held(Timestamp),
    /// The job has ended; there is nothing to do.
    Over(JobStatus),
    /// No such job, or its reassembly was never triggered.
    NotTriggered,
}

/// A completion made from a row.
pub(super) fn completion(row: &SegmentRow, now: Timestamp) -> SegmentCompletion {
    SegmentCompletion {
        job_id: row.segment.job_id.clone(),
        segment_index: row.segment.index,
        output_s3_uri: row.output.clone(),
        completed_at: now,
        total_segments: row.segment.total,
    }
}
