//! A job's status and the transitions that are allowed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Known, its source not yet here.
    Created,
    /// The source is being fetched.
    Ingesting,
    /// The source is being cut.
    ChunkingInProgress,
    /// Every segment is uploaded and the total is known.
    ChunkingComplete,
    /// Every segment is done and reassembly was asked for.
    Reassembling,
    /// The final file exists.
    Completed,
    /// Given up, with a reason.
    Failed,
    /// Removed by its owner.
    Deleted,
}

/// Text that is not a status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("job status {0:?} is not known")]
pub struct StatusError(String);

impl JobStatus {
    /// Every status, in the order of a job's life.
    pub const ALL: [JobStatus; 8] = [
        JobStatus::Created,
        JobStatus::Ingesting,
        JobStatus::ChunkingInProgress,
        JobStatus::ChunkingComplete,
        JobStatus::Reassembling,
        JobStatus::Completed,
        JobStatus::Failed,
        JobStatus::Deleted,
    ];

    /// Whether a job may go from `self` to `next`. A job moves forward only; `Completed`, `Failed`
    /// and `Deleted` absorb, except that anything may still be deleted.
    pub fn may_become(self, next: JobStatus) -> bool {
        match next {
            JobStatus::Deleted => self != JobStatus::Deleted,
            JobStatus::Failed => !self.is_terminal(),
            _ => !self.is_terminal() && self < next,
        }
    }

    /// Whether nothing further will happen by itself.
    pub fn is_terminal(self) -> bool {
        matches!(self, JobStatus::Completed | JobStatus::Failed | JobStatus::Deleted)
    }

    /// The name in tables and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            JobStatus::Created => "created",
            JobStatus::Ingesting => "ingesting",
            JobStatus::ChunkingInProgress => "chunking_in_progress",
            JobStatus::ChunkingComplete => "chunking_complete",
            JobStatus::Reassembling => "reassembling",
            JobStatus::Completed => "completed",
            JobStatus::Failed => "failed",
            JobStatus::Deleted => "deleted",
        }
    }
}

impl FromStr for JobStatus {
    type Err = StatusError;

    fn from_str(text: &str) -> Result<Self, StatusError> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| StatusError(text.chars().take(64).collect()))
    }
}

impl fmt::Display for JobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use JobStatus::*;

    #[test]
    fn jobs_move_forward_only_and_ends_absorb() {
        assert!(Created.may_become(ChunkingInProgress));
        assert!(ChunkingInProgress.may_become(ChunkingComplete));
        assert!(ChunkingComplete.may_become(Reassembling));
        assert!(Reassembling.may_become(Completed));
        assert!(Reassembling.may_become(Failed));
        for from in [Completed, Failed, Deleted] {
            for to in JobStatus::ALL {
                assert_eq!(from.may_become(to), to == Deleted && from != Deleted, "{from} -> {to}");
            }
        }
        assert!(!Reassembling.may_become(ChunkingComplete));
        assert!(!Reassembling.may_become(Reassembling));
    }

    #[test]
    fn names_round_trip() {
        for status in JobStatus::ALL {
            assert_eq!(status.as_str().parse::<JobStatus>().unwrap(), status);
        }
        assert!("COMPLETED".parse::<JobStatus>().is_err());
    }
}
