//! What operators ask of a deployment, beside what its loops do.
//!
//! These are traits of their own, so that whoever implements a port for the loops need not answer them.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use parallax_job::{JobId, JobStatus, Timestamp, Uri};

use crate::ledger::Job;
use crate::{Ledger, Result};

/// Where a list of jobs ended: after the job that was made then and has this id. It stays good while
/// jobs come, go and change their status.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When the job was made.
    pub created_at: Timestamp,
    /// Its id, which tells apart those of one moment.
    pub job_id: JobId,
}

impl Place {
    /// The place of a job.
    pub fn of(job: &Job) -> Self {
        Self { created_at: job.created_at, job_id: job.job_id.clone() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.created_at.0, self.job_id)
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let malformed = || "expected what an earlier list ended with".to_owned();
        let (at, id) = text.split_once('.').ok_or_else(malformed)?;
        let created_at = Timestamp(at.parse().map_err(|_| malformed())?);
        Ok(Self { created_at, job_id: id.parse().map_err(|_| malformed())? })
    }
}

/// What operators ask of the ledger, beside the protocol's verbs.
#[async_trait]
pub trait OperatorLedger: Ledger {
    /// At most `limit` jobs in one status, those made last first and those of one moment by id downwards,
    /// beginning after `from`. One that came into the status a moment ago may be missing.
    async fn latest_jobs(
        &self,
        status: JobStatus,
        from: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Job>>;

    /// Records that a job's source of `bytes` was uploaded; false when there is no such job.
    async fn uploaded(&self, job_id: &JobId, bytes: u64, now: Timestamp) -> Result<bool>;

    /// Until when somebody has the right to reassemble a job, which may be over; `None` when nobody has.
    async fn reassembling_until(&self, job_id: &JobId) -> Result<Option<Timestamp>>;

    /// Removes all that is recorded of a deleted job but the job itself, which late events have to find:
    /// rows, completions, the trigger, and what leads to them. Answers how many were removed. Not atomic:
    /// what broke off is finished by the same call.
    ///
    /// # Errors
    /// `Rejected` unless the job is `Deleted` and none of its segments holds a permit.
    async fn forget(&self, job_id: &JobId) -> Result<usize>;
}

/// Which roles an operator has told to receive nothing, for every process of a deployment.
#[async_trait]
pub trait Switches: fmt::Debug + Send + Sync {
    /// The roles that are paused, by name. May lag a moment behind what was set.
    async fn paused(&self) -> Result<BTreeSet<String>>;

    /// Pauses a role or lets it go on; false when it was so already.
    async fn set_paused(&self, role: &str, paused: bool) -> Result<bool>;
}

/// What a store holds, for whoever removes it.
#[async_trait]
pub trait Listing: fmt::Debug + Send + Sync {
    /// The addresses of at most `limit` objects whose names begin with `folder` and a slash, those after
    /// `after`, in the order of their keys. None of them when there is no such folder.
    async fn list(&self, folder: &Uri, after: Option<&Uri>, limit: usize) -> Result<Vec<Uri>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_and_read_and_nothing_else_is_one() {
        let place =
            Place { created_at: Timestamp(1_700_000_000_123), job_id: "a-b_1".parse().unwrap() };
        assert_eq!(place.to_string().parse(), Ok(place));
        for bad in ["", "x", "1", "1.", ".a", "1.a/b", "1.5.a", "later.a"] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }
}
