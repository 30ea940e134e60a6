//! One piece of a job.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{JobId, Mode};

/// The most segments a job may have: five digits in the key.
pub const MAX_SEGMENTS: u32 = 99_999;

/// A segment's identity. `total` and `mode` belong to it: a source uploaded again and cut
/// differently makes other segments, whose results must not be counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Segment {
    /// The job.
    pub job_id: JobId,
    /// Number of segments in the job, 1 to [`MAX_SEGMENTS`].
    pub total: u32,
    /// Position in the job, 0 to `total - 1`.
    pub index: u32,
    /// The kind of result.
    pub mode: Mode,
}

/// Numbers that do not name a segment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("segment {index} of {total}: the total must be 1 to 99999 and the index below it")]
pub struct SegmentError {
    index: u32,
    total: u32,
}

impl Segment {
    /// # Errors
    /// When `total` is not 1 to [`MAX_SEGMENTS`] or `index` is not below it.
    pub fn new(job_id: JobId, index: u32, total: u32, mode: Mode) -> Result<Self, SegmentError> {
        if (1..=MAX_SEGMENTS).contains(&total) && index < total {
            Ok(Self { job_id, total, index, mode })
        } else {
            Err(SegmentError { index, total })
        }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} of {} ({})", self.job_id, self.index, self.total, self.mode)
    }
}
