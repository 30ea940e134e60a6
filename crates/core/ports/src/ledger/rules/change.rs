//! What a rule has stored.

use parallax_job::SegmentCompletion;

use crate::ledger::{Holder, HolderId, Job, SegmentRow, TriggerRow};

/// What to store. `None` and empty mean "leave as it is".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Replace the segment's row.
    pub segment: Option<SegmentRow>,
    /// Add or replace a holder.
    pub put_holder: Option<Holder>,
    /// Remove holders.
    pub remove_holders: Vec<HolderId>,
    /// Put a completion; the rule has seen that there is none of the same total.
    pub completion: Option<SegmentCompletion>,
    /// Replace the job.
    pub job: Option<Job>,
    /// Replace the trigger.
    pub trigger: Option<TriggerRow>,
}
