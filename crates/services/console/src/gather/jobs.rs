//! Jobs of one status, and one job with its segments.

use parallax_job::{JobId, JobStatus, Timestamp};
use parallax_ports::ledger::Job;
use parallax_ports::{Place, Result};
use parallax_worker::{Explanation, explain, list};
use serde::Serialize;

use crate::source::Source;

/// Jobs on one page.
const ON_A_PAGE: usize = 50;
/// Completions by which it is told how fast a job is at the moment.
const FOR_PACE: usize = 30;

/// A page of the jobs in one status.
#[derive(Debug, Serialize)]
pub(crate) struct JobsPage {
    pub(crate) status: JobStatus,
    pub(crate) jobs: Vec<Job>,
    /// Where the next page begins.
    pub(crate) next: Option<String>,
    /// Whether this is the first.
    pub(crate) first: bool,
}

/// One job.
#[derive(Debug, Serialize)]
pub(crate) struct JobPage {
    #[serde(flatten)]
    pub(crate) explained: Explanation,
    pub(crate) pace: Option<Pace>,
    /// When this was so.
    #[serde(skip)]
    pub(crate) now: Timestamp,
}

/// How fast a job's segments are completed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Pace {
    pub(crate) segments_per_minute: f64,
    /// When its last segment will be done if that stays so; `None` when none is left. It is reckoned from the latest
    /// completion, so that it stays the same until the next.
    pub(crate) done_at: Option<Timestamp>,
}

pub(crate) async fn page(
    source: &Source,
    status: JobStatus,
    after: Option<&Place>,
) -> Result<JobsPage> {
    let operator = &source.deployment.operator;
    let found = list(operator, &[status], after, ON_A_PAGE).await?;
    Ok(JobsPage {
        status,
        jobs: found.jobs.into_iter().map(|job| shown(source, job)).collect(),
        next: found.next.map(|next| next.to_string()),
        first: after.is_none(),
    })
}

pub(crate) async fn job(source: &Source, id: &JobId) -> Result<Option<JobPage>> {
    let now = source.deployment.clock.now();
    let Some(mut explained) = explain(&source.deployment.operator, id, now).await? else {
        return Ok(None);
    };
    explained.job = shown(source, explained.job);
    for segment in &mut explained.segments {
        if let Some(error) = &mut segment.last_error {
            error.message = source.redacted(&error.message);
        }
    }
    let completed = explained.segments.iter().filter_map(|segment| segment.completed_at).collect();
    let is_over = explained.job.status.is_terminal();
    let left = if is_over { 0 } else { explained.segments.len() - explained.completed as usize };
    Ok(Some(JobPage { pace: pace(completed, left), explained, now }))
}

/// The job as it may be shown.
pub(super) fn shown(source: &Source, job: Job) -> Job {
    let told = |text: Option<String>| text.map(|text| source.redacted(&text));
    Job { title: told(job.title), reason: told(job.reason), ..job }
}

/// From the times of completions; `None` while fewer than two are known.
fn pace(mut completed: Vec<Timestamp>, left: usize) -> Option<Pace> {
    completed.sort_unstable();
    let latest = &completed[completed.len().saturating_sub(FOR_PACE)..];
    let (first, last) = (*latest.first()?, *latest.last()?);
    let each = last.since(first).as_secs_f64() / (latest.len() - 1) as f64;
    if !each.is_finite() || each <= 0.0 {
        return None;
    }
    let done_at = (left > 0).then(|| Timestamp(last.0 + (each * left as f64 * 1000.0) as i64));
    Some(Pace { segments_per_minute: 60.0 / each, done_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_that_of_the_latest_completions() {
        let at = |seconds: i64| Timestamp(1_000_000 + 1000 * seconds);
        assert_eq!(pace(vec![], 5), None);
        assert_eq!(pace(vec![at(0)], 5), None);
        assert_eq!(pace(vec![at(3), at(3)], 5), None, "of one moment");
        let found = pace(vec![at(40), at(0), at(20)], 3).unwrap();
        assert_eq!(found, Pace { segments_per_minute: 3.0, done_at: Some(at(100)) });
        assert_eq!(pace(vec![at(0), at(20)], 0).unwrap().done_at, None);
        let slow = (0..10).map(|n| at(-100_000 + 1000 * n));
        let quick = (0..FOR_PACE as i64).map(|n| at(10 * n));
        assert_eq!(pace(slow.chain(quick).collect(), 1).unwrap().segments_per_minute, 6.0);
    }
}
