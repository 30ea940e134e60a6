//! What a verb has read, or believes, before it decides.

use parallax_job::{JobId, Segment, SegmentCompletion};
use parallax_ports::ledger::{Holder, Job, SegmentRow, TriggerRow};

use super::item::Item;

/// One thing that a verb may have read.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Read<T> {
    /// It was not asked for, so nothing may be concluded.
    #[default]
    Skipped,
    /// There is none.
    Absent,
    /// There is.
    Found(T),
}

impl<T> Read<T> {
    pub(super) fn get(&self) -> Option<&T> {
        match self {
            Read::Found(value) => Some(value),
            _ => None,
        }
    }

    pub(super) fn was_found(&self) -> bool {
        matches!(self, Read::Found(_))
    }

    pub(super) fn was_asked(&self) -> bool {
        !matches!(self, Read::Skipped)
    }
}

/// What a verb asks for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted<'a> {
    pub(super) segment: Option<&'a Segment>,
    pub(super) completion_of: Option<&'a Segment>,
    pub(super) permits: bool,
    pub(super) job: Option<&'a JobId>,
    pub(super) trigger: Option<&'a JobId>,
}

/// What it found.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    pub(super) row: Read<(SegmentRow, u64)>,
    pub(super) completion: Read<SegmentCompletion>,
    pub(super) holders: Read<Vec<Holder>>,
    pub(super) job: Read<(Job, Item)>,
    pub(super) trigger: Read<(TriggerRow, Item)>,
}

impl Snapshot {
    pub(super) fn row(&self) -> Option<&SegmentRow> {
        self.row.get().map(|(row, _)| row)
    }

    pub(super) fn job(&self) -> Option<&Job> {
        self.job.get().map(|(job, _)| job)
    }

    pub(super) fn trigger(&self) -> Option<&TriggerRow> {
        self.trigger.get().map(|(row, _)| row)
    }
}
