//! Attempts between their intent and the backend's answer: what one kill costs, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parallax_job::{ObjectKey, Segment, Uri};
use parallax_ports::ledger::{SegmentRow, SegmentState};
use parallax_ports::{
    Clock, Custody, InferenceBackend, Invocation, Invoked, Ledger, Locations, ObjectStore, Queue,
    Result, request,
};
use parallax_worker::{Config, Pipeline, Release, Role, Roles, Stop, explain, release, run};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, written};

/// Writes a request in a tenth of a second and answers in half of one.
#[derive(Debug)]
struct Slow(Arc<dyn ObjectStore>);

fn request_at(segment: &Segment) -> Uri {
    let Segment { job_id, index, .. } = segment.clone();
    let key = ObjectKey::InvocationRequest { job_id, index };
    format!("s3://output/{key}").parse().unwrap()
}

#[async_trait]
impl InferenceBackend for Slow {
    fn custody(&self) -> Custody {
        Custody::Backend
    }

    fn request_at(&self, segment: &Segment) -> Option<Uri> {
        Some(request_at(segment))
    }

    async fn prepare(&self, of: &Invocation, _: &CancellationToken) -> Result<()> {
        sleep(Duration::from_millis(100)).await;
        let mark = request::mark(&of.segment, of.attempt);
        self.0.write_noted(&request_at(&of.segment), b"{}", &mark).await
    }

    async fn invoke(&self, of: &Invocation, _: &CancellationToken) -> Result<Invoked> {
        sleep(Duration::from_millis(500)).await;
        let response = format!("s3://output/response-{}", of.segment.index).parse().ok();
        Ok(Invoked::Accepted(Locations { response, failure: None }))
    }
}

async fn explained(stage: &Stage, index: usize) -> String {
    let found =
        explain(&stage.operator(Vec::new()), &"job".parse().unwrap(), stage.clock.now()).await;
    found.unwrap().unwrap().segments[index].waits_for.clone()
}

/// Reconciles for `time`.
async fn swept(stage: &Stage, time: Duration) {
    let slow = Arc::new(Slow(stage.objects.clone()));
    let config = Config { max_in_flight: 4, ..stage.config() };
    stage.run(stage.ports(slow), config, &[Role::Reconcile], time).await;
}

#[tokio::test(start_paused = true)]
async fn one_kill_costs_one_of_the_attempts_that_would_begin_together() {
    let stage = Stage::new();
    stage.job("job", 4).await;
    for index in 0..4 {
        let input = stage.input(&Stage::segment("job", index, 4));
        stage.write(&input).await;
        stage.segments.send(&written(&input), &[]).await.unwrap();
    }
    let config = Config { max_in_flight: 4, ..stage.config() };
    let ports = stage.ports(Arc::new(Slow(stage.objects.clone())));
    let pipeline = Arc::new(Pipeline::new(ports, config).unwrap());
    let roles = Roles::from_iter([Role::Segments]);
    let life = run(pipeline, &roles, Stop::default());
    assert!(timeout(Duration::from_millis(900), life).await.is_err(), "killed while it works");
    let rows = stage.ledger.segments(&"job".parse().unwrap()).await.unwrap();
    let open = |state| rows.iter().filter(|row| row.state == state).count();
    assert_eq!((open(SegmentState::Invoked), open(SegmentState::Intent)), (1, 1), "{rows:#?}");
}

/// An attempt whose owner's lease ends in two minutes.
async fn leased(stage: &Stage, index: u32) -> SegmentRow {
    stage.intended_until(&Stage::segment("job", index, 3), Some(Duration::from_secs(120))).await
}

#[tokio::test(start_paused = true)]
async fn what_reached_nobody_is_free_with_its_lease_and_what_may_have_is_not() {
    let stage = Stage::new();
    stage.job("job", 3).await;
    let (lost, retried, asked) =
        (leased(&stage, 0).await, leased(&stage, 1).await, leased(&stage, 2).await);
    // An earlier attempt's request still stands where a later one's was to be.
    let earlier = request::mark(&retried.segment, 0);
    stage.objects.write_noted(&request_at(&retried.segment), b"{}", &earlier).await.unwrap();
    let its_own = request::mark(&asked.segment, asked.attempt);
    stage.objects.write_noted(&request_at(&asked.segment), b"{}", &its_own).await.unwrap();
    assert!(explained(&stage, 0).await.contains("handing it over"));
    swept(&stage, Duration::from_secs(100)).await;
    assert_eq!(stage.state(&lost).await.state, SegmentState::Intent, "its owner may still ask");
    sleep(Duration::from_secs(25)).await;
    assert!(explained(&stage, 0).await.contains("before the backend was asked"));
    assert!(explained(&stage, 2).await.contains("its request was written"));
    swept(&stage, Duration::from_secs(60)).await;
    for row in [&lost, &retried] {
        let ended = stage.state(row).await;
        assert_eq!((ended.state, ended.failures), (SegmentState::RetryWait, 0));
        assert_eq!((ended.tried(), ended.last_error.unwrap().class.as_str()), (0, "abandoned"));
    }
    assert_eq!(stage.state(&asked).await.state, SegmentState::Intent, "it may be running");
    assert_eq!(stage.ledger.holders().await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_operator_releases_what_he_vouches_for_and_his_words_are_kept() {
    let stage = Stage::new();
    let job = stage.job("job", 3).await;
    let row = leased(&stage, 1).await;
    let asked =
        Release { job: job.clone(), segment: 1, because: "the endpoint was deleted".to_owned() };
    let done = release(&stage.operator(Vec::new()), &asked, stage.clock.now()).await.unwrap();
    assert!(done.len() == 1 && done[0].released, "{done:?}");
    let ended = stage.state(&row).await;
    assert_eq!((ended.state, ended.tried()), (SegmentState::RetryWait, 0));
    let error = ended.last_error.unwrap();
    assert_eq!(error.class, "released");
    assert!(error.message.contains("the endpoint was deleted"), "{}", error.message);
    assert_eq!(stage.ledger.holders().await.unwrap(), []);
    let again = release(&stage.operator(Vec::new()), &asked, stage.clock.now()).await.unwrap();
    assert!(!again[0].released && again[0].why.contains("holds no permit"), "{again:?}");
    let nobody = Release { segment: 2, ..asked };
    assert_eq!(release(&stage.operator(Vec::new()), &nobody, stage.clock.now()).await.unwrap(), []);
}
