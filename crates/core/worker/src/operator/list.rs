//! The jobs of a deployment, newest first.

use futures::future::try_join_all;
use parallax_job::JobStatus;
use parallax_ports::ledger::Job;
use parallax_ports::{Place, Result};

use super::handle::Operator;

/// A part of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// They, newest first.
    pub jobs: Vec<Job>,
    /// From where to go on; `None` at the end.
    pub next: Option<Place>,
}

/// At most `limit` jobs in any of the statuses, newest first.
///
/// # Errors
/// The ledger's.
pub async fn list(
    operator: &Operator,
    statuses: &[JobStatus],
    from: Option<&Place>,
    limit: usize,
) -> Result<Listed> {
    let of = |status: &JobStatus| operator.ledger.latest_jobs(*status, from, limit + 1);
    let mut jobs: Vec<Job> = try_join_all(statuses.iter().map(of)).await?.concat();
    jobs.sort_by_key(|job| std::cmp::Reverse(Place::of(job)));
    // One that moves on meanwhile may be met in two statuses.
    jobs.dedup_by(|a, b| a.job_id == b.job_id);
    let more = jobs.len() > limit;
    jobs.truncate(limit);
    let next = jobs.last().filter(|_| more).map(Place::of);
    Ok(Listed { jobs, next })
}
