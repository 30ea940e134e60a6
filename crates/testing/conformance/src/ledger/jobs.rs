//! Jobs and their status.

use std::sync::Arc;

use parallax_job::{JobStatus, Mode};

use super::fixtures::{at, id, job};
use parallax_ports::Ledger;
use parallax_ports::ledger::{Advance, Job};

pub(super) async fn a_job_is_created_once(ledger: Arc<dyn Ledger>) {
    assert_eq!(ledger.job(&id("job")).await.unwrap(), None);
    let title = Some("it's \"a\" title 漢".to_owned());
    let first = Job { title, ..Job::new(id("job"), Mode::Anaglyph, at(1)) };
    assert!(ledger.create_job(&first).await.unwrap());
    let second = Job::new(id("job"), Mode::Sbs, at(2));
    assert!(!ledger.create_job(&second).await.unwrap());
    assert_eq!(ledger.job(&id("job")).await.unwrap(), Some(first), "the first one stays");
}

pub(super) async fn a_job_moves_along_allowed_edges(ledger: Arc<dyn Ledger>) {
    for from in JobStatus::ALL {
        for to in JobStatus::ALL {
            let name = format!("{from}-{to}");
            job(&*ledger, &name, None, from).await;
            let advance = async |now| {
                ledger.advance(&id(&name), to, Some(7), Some("why"), at(now)).await.unwrap()
            };
            let answer = advance(5).await;
            let stored = ledger.job(&id(&name)).await.unwrap().unwrap();
            // A total that was not known, or is another after a new cut, is a move of its own.
            if from.may_become(to) || (from == to && !from.is_terminal()) {
                assert_eq!(answer, Advance::Moved, "{name}");
                assert_eq!((stored.status, stored.total_segments), (to, Some(7)), "{name}");
                assert_eq!(stored.reason.as_deref(), Some("why"), "{name}");
                let completed = (to == JobStatus::Completed).then(|| at(5));
                assert_eq!(stored.completed_at, completed, "{name}");
                assert_eq!(advance(6).await, Advance::Already, "{name}");
                assert_eq!(ledger.job(&id(&name)).await.unwrap().unwrap(), stored, "{name}");
            } else {
                let expected = Advance::Refused(from);
                assert_eq!(answer, expected, "{name}");
                assert_eq!((stored.status, stored.reason), (from, None), "{name}");
            }
        }
    }
    let name = id("completed-completed");
    let again = ledger.advance(&name, JobStatus::Completed, None, None, at(7)).await.unwrap();
    assert_eq!(again, Advance::Already);
    let nobody = ledger.advance(&id("nobody"), JobStatus::Failed, None, None, at(0)).await.unwrap();
    assert_eq!(nobody, Advance::NotFound);
    assert_eq!(ledger.job(&id("nobody")).await.unwrap(), None, "no job is made in passing");
    let name = id("created-ingesting");
    let to = JobStatus::ChunkingInProgress;
    let moved = ledger.advance(&name, to, None, None, at(9)).await.unwrap();
    assert_eq!(moved, Advance::Moved);
    let stored = ledger.job(&name).await.unwrap().unwrap();
    assert_eq!(stored.total_segments, Some(7), "what is not given is kept");
    assert_eq!(stored.reason.as_deref(), Some("why"));
}

pub(super) async fn jobs_are_listed_by_status(ledger: Arc<dyn Ledger>) {
    for name in ["a", "b", "c"] {
        job(&*ledger, name, Some(1), JobStatus::ChunkingComplete).await;
    }
    ledger.advance(&id("b"), JobStatus::Reassembling, None, None, at(1)).await.unwrap();
    let listed = async |status| -> Vec<String> {
        let jobs = ledger.jobs(status).await.unwrap();
        let mut names: Vec<_> = jobs.iter().map(|j| j.job_id.to_string()).collect();
        names.sort();
        names
    };
    assert_eq!(listed(JobStatus::ChunkingComplete).await, ["a", "c"]);
    assert_eq!(listed(JobStatus::Reassembling).await, ["b"]);
    assert_eq!(listed(JobStatus::Failed).await, [""; 0]);
    in_parts(&*ledger).await;
}

/// Parts of a list bring what stays in it once each, whatever leaves and comes meanwhile.
async fn in_parts(ledger: &dyn Ledger) {
    for n in 0..7 {
        job(ledger, &format!("part-{n}"), Some(1), JobStatus::ChunkingInProgress).await;
    }
    for limit in [1, 2, 3, 7, 8] {
        let (mut found, mut from, mut parts) = (Vec::new(), None, 0);
        loop {
            let status = JobStatus::ChunkingInProgress;
            let some = ledger.some_jobs(status, from.as_ref(), limit).await.unwrap();
            assert!(some.jobs.len() <= limit, "{some:?}");
            found.extend(some.jobs.into_iter().map(|job| job.job_id.to_string()));
            parts += 1;
            from = some.next;
            if from.is_none() {
                break;
            }
        }
        found.sort();
        assert_eq!(found, (0..7).map(|n| format!("part-{n}")).collect::<Vec<_>>(), "by {limit}");
        assert!(parts >= 7usize.div_ceil(limit), "{parts} parts by {limit}");
    }
    let status = JobStatus::ChunkingInProgress;
    let first = ledger.some_jobs(status, None, 3).await.unwrap();
    for gone in first.jobs.iter().skip(1) {
        ledger.advance(&gone.job_id, JobStatus::Failed, None, Some("why"), at(9)).await.unwrap();
    }
    let (mut rest, mut from) = (Vec::new(), first.next);
    while let Some(cursor) = from {
        let some = ledger.some_jobs(status, Some(&cursor), 3).await.unwrap();
        rest.extend(some.jobs);
        from = some.next;
    }
    assert_eq!(rest.len(), 4, "where it ended is a place, not a job: {rest:?}");
}
