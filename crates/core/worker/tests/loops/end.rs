//! Jobs that are cancelled or deleted, and roles that are paused.

use std::time::Duration;

use parallax_job::{JobId, JobStatus, ObjectKey, Segment};
use parallax_ports::ledger::SegmentState;
use parallax_ports::{Clock, Kind, Ledger, Locations, ObjectStore, Result, Switches};
use parallax_worker::{Delete, Done, Role, Step, cancel, delete, switch};
use tokio::time::sleep;

use crate::refusals::{Moody, submit};
use crate::stage::Stage;

fn job() -> JobId {
    "job".parse().unwrap()
}

async fn deleted(stage: &Stage, force: bool, dry_run: bool) -> Result<Vec<Step>> {
    let asked = Delete { job: job(), force, dry_run };
    let mut steps = Vec::new();
    let mut tell = |step| steps.push(step);
    delete(&stage.operator(Vec::new()), &asked, stage.clock.now(), &mut tell).await?;
    Ok(steps)
}

async fn cancelled(stage: &Stage, dry_run: bool) -> Result<Step> {
    let operator = stage.operator(Vec::new());
    cancel(&operator, &job(), Some("wrong film"), dry_run, stage.clock.now()).await
}

async fn status(stage: &Stage) -> (JobStatus, Option<String>) {
    let job = stage.ledger.job(&job()).await.unwrap().unwrap();
    (job.status, job.reason)
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_cancelled_job_begins() {
    let stage = Stage::new();
    assert_eq!(cancelled(&stage, false).await.unwrap_err().kind(), Kind::NotFound);
    submit(&stage, 3).await;
    assert_eq!(cancelled(&stage, true).await.unwrap().done, Done::Cancelled);
    assert_eq!(status(&stage).await, (JobStatus::ChunkingComplete, None), "a dry run");
    assert_eq!(cancelled(&stage, false).await.unwrap().done, Done::Cancelled);
    let why = "cancelled by an operator: wrong film".to_owned();
    assert_eq!(status(&stage).await, (JobStatus::Failed, Some(why.clone())));
    let again = cancelled(&stage, false).await.unwrap();
    assert_eq!((again.done, again.why), (Done::Already, format!("it is failed: {why}")));
    let backend = Moody::refusing_for(Duration::ZERO, None);
    let ports = stage.ports(backend.clone());
    let roles = [Role::Segments, Role::Reconcile];
    stage.run(ports, stage.config(), &roles, Duration::from_secs(900)).await;
    assert_eq!(backend.taken(), []);
    assert_eq!(stage.ledger.holders().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_completed_job_is_not_cancelled() {
    let stage = Stage::new();
    submit(&stage, 1).await;
    let now = stage.clock.now();
    stage.ledger.advance(&job(), JobStatus::Completed, Some(1), None, now).await.unwrap();
    assert_eq!(cancelled(&stage, false).await.unwrap().done, Done::Refused);
    assert_eq!(status(&stage).await.0, JobStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_job_leaves_no_object_no_row_and_no_permit() {
    let stage = Stage::new();
    assert_eq!(deleted(&stage, false, false).await.unwrap_err().kind(), Kind::NotFound);
    submit(&stage, 2).await;
    let segment = |index| Segment::new(job(), index, 2, parallax_job::Mode::Sbs).unwrap();
    let key = ObjectKey::AsyncResponse("some-name.out".to_owned());
    let response = Some(stage.buckets.output.uri(&key).unwrap());
    let locations = Locations { response, failure: None };
    let row = stage.invoked(&segment(0), locations.clone()).await;
    let result = stage.buckets.output.uri(&ObjectKey::Result { job_id: job(), index: 1 }).unwrap();
    let source = stage.buckets.input.uri(&ObjectKey::Source(job())).unwrap();
    let others = ObjectKey::Final("job-2".parse().unwrap());
    let others = stage.buckets.output.uri(&others).unwrap();
    let all = [locations.response.unwrap(), row.input, result, source];
    for uri in all.iter().chain([&others]) {
        stage.write(uri).await;
    }
    let there = async || {
        let mut count = 0;
        for uri in &all {
            count += usize::from(stage.objects.head(uri).await.unwrap().is_some());
        }
        count
    };
    let refused = |steps: Vec<Step>, why: &str| {
        assert_eq!(steps.len(), 1, "{steps:?}");
        assert_eq!(steps[0].done, Done::Refused);
        assert!(steps[0].why.contains(why), "{steps:?}");
    };
    refused(deleted(&stage, false, false).await.unwrap(), "cancel it first");
    cancelled(&stage, false).await.unwrap();
    refused(deleted(&stage, false, false).await.unwrap(), "segment 0 runs");
    deleted(&stage, true, true).await.unwrap();
    assert_eq!(there().await, all.len(), "a dry run");
    assert_eq!(status(&stage).await.0, JobStatus::Failed);
    let steps = deleted(&stage, true, false).await.unwrap();
    assert_eq!(steps.last().unwrap().done, Done::Deleted, "{steps:?}");
    assert_eq!(there().await, 0, "{steps:?}");
    assert!(stage.objects.head(&others).await.unwrap().is_some(), "another job's");
    assert_eq!(stage.ledger.segments(&job()).await.unwrap(), []);
    assert_eq!(stage.ledger.holders().await.unwrap(), []);
    assert_eq!(status(&stage).await.0, JobStatus::Deleted, "late events find that");
    let again = deleted(&stage, false, false).await.unwrap();
    assert_eq!(again.len(), 1, "nothing was left: {again:?}");
    // Its events are still in the queue.
    let backend = Moody::refusing_for(Duration::ZERO, None);
    let ports = stage.ports(backend.clone());
    let roles = [Role::Segments, Role::OutputEvents, Role::Reconcile];
    stage.run(ports, stage.config(), &roles, Duration::from_secs(900)).await;
    assert_eq!(backend.taken(), []);
    assert_eq!(stage.ledger.segments(&job()).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_paused_role_receives_nothing_and_holds_nothing_until_it_is_resumed() {
    const COUNT: u32 = 3;
    let stage = Stage::new();
    let backend = Moody::refusing_for(Duration::ZERO, None);
    let ports = stage.ports(backend.clone());
    let operator = stage.operator(Vec::new());
    let roles = [Role::Segments, Role::Reconcile];
    let running = stage.run(ports, stage.config(), &roles, Duration::from_secs(4000));
    let operating = async {
        let turn = async |paused, dry_run| {
            switch(&operator, Role::Segments, paused, dry_run).await.unwrap().done
        };
        assert_eq!(turn(true, true).await, Done::Paused);
        assert!(stage.ledger.paused().await.unwrap().is_empty(), "a dry run");
        assert_eq!(turn(true, false).await, Done::Paused);
        assert_eq!(turn(true, false).await, Done::Already);
        sleep(Duration::from_secs(180)).await;
        submit(&stage, COUNT).await;
        // Long enough for what stands to count as lost, were it not known why.
        sleep(Duration::from_secs(1800)).await;
        assert_eq!(backend.taken(), []);
        assert_eq!(stage.ledger.holders().await.unwrap(), [], "no reservation runs out meanwhile");
        assert_eq!(stage.segments.contents().len(), COUNT as usize, "no event was sent again");
        assert_eq!(turn(false, false).await, Done::Resumed);
        assert_eq!(turn(false, false).await, Done::Already);
        sleep(Duration::from_secs(180)).await;
        assert_eq!(backend.taken().len(), COUNT as usize);
        let rows = stage.ledger.segments(&job()).await.unwrap();
        assert!(rows.iter().all(|row| row.state == SegmentState::Done), "{rows:?}");
    };
    tokio::join!(running, operating);
}
