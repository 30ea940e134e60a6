//! What needs an operator, what runs, and what was done last.

use std::collections::BTreeMap;

use futures::future::join_all;
use futures::try_join;
use parallax_job::JobStatus;
use parallax_ports::Result;
use parallax_ports::ledger::Job;
use parallax_worker::list;
use serde::Serialize;

use crate::gather::jobs::shown;
use crate::source::Source;

/// Failed jobs at the top.
const FAILED: usize = 10;
/// Jobs that are under way.
const ACTIVE: usize = 50;
/// Completed ones, which also tell how long a job takes.
const COMPLETED: usize = 20;
/// Of those so many are listed.
const LISTED: usize = 8;
/// What is under way.
const UNDER_WAY: [JobStatus; 5] = [
    JobStatus::Created,
    JobStatus::Ingesting,
    JobStatus::ChunkingInProgress,
    JobStatus::ChunkingComplete,
    JobStatus::Reassembling,
];

/// The first page.
#[derive(Debug, Serialize)]
pub(crate) struct Overview {
    pub(crate) failed: Group,
    pub(crate) active: Group,
    pub(crate) completed: Group,
    /// Attempts that run, by job.
    pub(crate) running: BTreeMap<String, usize>,
    /// Permits that are held, reservations included.
    pub(crate) held: usize,
    pub(crate) max_in_flight: u32,
    /// Dead letters in all queues of theirs; `None` where not all of these can be looked at.
    pub(crate) dead_letters: Option<u64>,
    pub(crate) paused: Vec<String>,
    pub(crate) recent: Option<Recent>,
}

/// Some jobs, and whether there are more.
#[derive(Debug, Serialize)]
pub(crate) struct Group {
    pub(crate) jobs: Vec<Job>,
    pub(crate) more: bool,
}

/// How the latest completed jobs went.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Recent {
    /// How many they are.
    pub(crate) jobs: usize,
    /// Half of them took no longer from their making to their film, in seconds.
    pub(crate) median_seconds: f64,
    /// The same for each megabyte of the source, where sizes are known.
    pub(crate) median_seconds_per_megabyte: Option<f64>,
}

pub(crate) async fn overview(source: &Source) -> Result<Overview> {
    let operator = &source.deployment.operator;
    let dead = source.deployment.dead_letters.iter().map(|named| named.queue.depth());
    let dead =
        async { Result::Ok(join_all(dead).await.into_iter().collect::<Result<Vec<_>>>().ok()) };
    let (failed, active, mut completed, holders, paused, dead) = try_join!(
        list(operator, &[JobStatus::Failed], None, FAILED),
        list(operator, &UNDER_WAY, None, ACTIVE),
        list(operator, &[JobStatus::Completed], None, COMPLETED),
        operator.ledger.holders(),
        operator.switches.paused(),
        dead,
    )?;
    let mut running = BTreeMap::new();
    for work in holders.iter().filter_map(|holder| holder.work.as_ref()) {
        *running.entry(work.segment.job_id.to_string()).or_default() += 1;
    }
    let recent = recent(&completed.jobs);
    let more = completed.next.is_some() || completed.jobs.len() > LISTED;
    completed.jobs.truncate(LISTED);
    let some = |jobs: Vec<Job>, more| Group {
        jobs: jobs.into_iter().map(|job| shown(source, job)).collect(),
        more,
    };
    Ok(Overview {
        failed: some(failed.jobs, failed.next.is_some()),
        active: some(active.jobs, active.next.is_some()),
        completed: some(completed.jobs, more),
        running,
        held: holders.len(),
        max_in_flight: source.settings.max_in_flight,
        dead_letters: dead.map(|all| all.iter().map(|depth| depth.visible + depth.hidden).sum()),
        paused: paused.into_iter().collect(),
        recent,
    })
}

fn recent(jobs: &[Job]) -> Option<Recent> {
    let seconds = |job: &Job| Some(job.completed_at?.since(job.created_at).as_secs_f64());
    let per_megabyte = |job: &Job| {
        let bytes = job.source_file_size_bytes.filter(|bytes| *bytes > 0)?;
        Some(seconds(job)? / (bytes as f64 / 1e6))
    };
    Some(Recent {
        jobs: jobs.iter().filter_map(seconds).count(),
        median_seconds: median(jobs.iter().filter_map(seconds).collect())?,
        median_seconds_per_megabyte: median(jobs.iter().filter_map(per_megabyte).collect()),
    })
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use parallax_job::{Mode, Timestamp};

    #[test]
    fn jobs_that_were_completed_say_how_long_one_takes() {
        let job = |seconds: Option<i64>, bytes| Job {
            completed_at: seconds.map(|seconds| Timestamp(1000 * (seconds + 5))),
            source_file_size_bytes: bytes,
            ..Job::new("j".parse().unwrap(), Mode::Sbs, Timestamp(5000))
        };
        assert_eq!(recent(&[job(None, Some(1))]), None);
        let jobs = [
            job(Some(40), None),
            job(Some(10), Some(5_000_000)),
            job(Some(30), Some(0)),
            job(None, Some(1)),
        ];
        let expected =
            Recent { jobs: 3, median_seconds: 30.0, median_seconds_per_megabyte: Some(2.0) };
        assert_eq!(recent(&jobs), Some(expected));
    }
}
