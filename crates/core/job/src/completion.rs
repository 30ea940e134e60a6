//! The record that a segment's result exists.

use serde::{Deserialize, Serialize};

use crate::{JobId, Timestamp, Uri};

/// Written exactly once for each segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentCompletion {
    /// The job.
    pub job_id: JobId,
    /// The segment's index.
    pub segment_index: u32,
    /// Where the result is; named for S3 by the deployed tables, any scheme in practice.
    pub output_s3_uri: Uri,
    /// When it was recorded.
    pub completed_at: Timestamp,
    /// The job's number of segments when this one was cut.
    pub total_segments: u32,
}
