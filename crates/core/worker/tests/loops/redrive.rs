//! What an operator's command sets going again, leaves, and says.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parallax_job::{JobId, JobStatus, ObjectKey, Segment};
use parallax_ports::ledger::{AttemptError, SegmentState};
use parallax_ports::{Clock, Error, Kind, Ledger, Message, ObjectStore, Queue, Receipt, Result};
use parallax_worker::{Done, Redrive, Step, cancel, explain, redrive};
use tokio::sync::Barrier;
use tokio::time::{sleep, timeout};

use crate::stage::{Stage, written};

const ASKED: Redrive = Redrive { job: None, queue: None, limit: 100, dry_run: false };

fn of_job(dry_run: bool) -> Redrive {
    Redrive { job: "job".parse().ok(), dry_run, ..ASKED }
}

async fn run(stage: &Stage, dead: Arc<dyn Queue>, asked: &Redrive) -> (Vec<Step>, Result<()>) {
    let (operator, now) = (stage.operator(vec![dead]), stage.clock.now());
    let mut steps = Vec::new();
    let mut tell = |step| steps.push(step);
    let done = redrive(&operator, asked, now, &mut tell);
    let done = timeout(Duration::from_secs(3600), done).await.expect("it ends");
    (steps, done)
}

fn done(steps: &[Step]) -> Vec<Done> {
    steps.iter().map(|step| step.done).collect()
}

/// A job of two segments that were given up, whose inputs are there.
async fn failed_job(stage: &Stage) -> [Segment; 2] {
    stage.job("job", 2).await;
    let segments = [0, 1].map(|index| Stage::segment("job", index, 2));
    let mut rows = Vec::new();
    for segment in &segments {
        stage.write(&stage.input(segment)).await;
        rows.push(stage.intended(segment).await);
    }
    for row in rows {
        let why = AttemptError::new("model", "out of memory");
        stage.ledger.fail(&row.fence(), &why, row.created_at).await.unwrap();
    }
    segments
}

async fn status(stage: &Stage) -> JobStatus {
    let job_id: JobId = "job".parse().unwrap();
    stage.ledger.job(&job_id).await.unwrap().unwrap().status
}

async fn state(stage: &Stage, segment: &Segment) -> SegmentState {
    stage.ledger.segment(segment).await.unwrap().unwrap().state
}

#[tokio::test(start_paused = true)]
async fn segments_that_a_crash_left_behind_are_reopened_by_the_next_run() {
    let stage = Stage::new();
    let [first, second] = failed_job(&stage).await;
    let now = stage.clock.now();
    stage.ledger.reopen(&first, now).await.unwrap();
    assert_eq!(status(&stage).await, JobStatus::ChunkingComplete);
    let (steps, ended) = run(&stage, stage.dead.clone(), &of_job(false)).await;
    ended.unwrap();
    assert_eq!(done(&steps), [Done::Reopened]);
    assert_eq!(steps[0].what, format!("segment {second}"));
    assert_eq!(state(&stage, &second).await, SegmentState::RetryWait);
    let (steps, _) = run(&stage, stage.dead.clone(), &of_job(false)).await;
    assert_eq!(steps, [], "there is nothing left to do");
}

#[tokio::test(start_paused = true)]
async fn a_job_without_one_of_its_inputs_is_refused_as_a_whole() {
    let stage = Stage::new();
    let segments = failed_job(&stage).await;
    let missing = stage.input(&segments[1]);
    stage.objects.delete(&missing).await.unwrap();
    let (steps, ended) = run(&stage, stage.dead.clone(), &of_job(false)).await;
    ended.unwrap();
    assert_eq!(done(&steps), [Done::Refused]);
    assert!(steps[0].why.contains(&missing.to_string()), "{steps:?}");
    assert_eq!(status(&stage).await, JobStatus::Failed);
    for segment in &segments {
        assert_eq!(state(&stage, segment).await, SegmentState::Failed, "{segment}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_job_is_not_set_going_again() {
    let stage = Stage::new();
    let [_, second] = failed_job(&stage).await;
    let (operator, now) = (stage.operator(Vec::new()), stage.clock.now());
    stage.ledger.reopen(&second, now).await.unwrap();
    let job_id: JobId = "job".parse().unwrap();
    cancel(&operator, &job_id, Some("wrong film"), false, now).await.unwrap();
    for dry_run in [true, false] {
        let (steps, ended) = run(&stage, stage.dead.clone(), &of_job(dry_run)).await;
        ended.unwrap();
        assert_eq!(done(&steps), [Done::Refused]);
        let why = "cancelled by an operator: wrong film: submit its film under another id";
        assert!(steps[0].why.contains(why), "{steps:?}");
    }
    assert_eq!(status(&stage).await, JobStatus::Failed);
    let found = explain(&operator, &job_id, now).await.unwrap().unwrap();
    assert_eq!(found.waits_for, "nothing, because it was cancelled");
    for segment in found.segments {
        assert_eq!(segment.waits_for, "nothing, because its job is failed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_shows_the_letters_of_a_job_that_would_go_on() {
    let stage = Stage::new();
    let segments = failed_job(&stage).await;
    stage.dead.send(&written(&stage.input(&segments[0])), &[]).await.unwrap();
    let planned = [Done::Reopened, Done::Reopened, Done::Moved];
    let (steps, _) = run(&stage, stage.dead.clone(), &of_job(true)).await;
    assert_eq!(done(&steps), planned, "{steps:?}");
    assert_eq!((status(&stage).await, stage.dead.contents().len()), (JobStatus::Failed, 1));
    let (steps, _) = run(&stage, stage.dead.clone(), &of_job(false)).await;
    assert_eq!(done(&steps), planned, "what is done is what was shown");
    assert_eq!(
        (status(&stage).await, stage.dead.contents().len()),
        (JobStatus::ChunkingComplete, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn what_else_happened_to_a_bucket_hides_no_letter() {
    let stage = Stage::new();
    stage.job("job", 2).await;
    let event = written(&stage.input(&Stage::segment("job", 0, 2)));
    let removed = r#"{"Records":[{"eventName":"ObjectRemoved:Delete"},"#;
    let both = event.replacen(r#"{"Records":["#, removed, 1);
    stage.dead.send(&both, &[]).await.unwrap();
    stage.dead.send(&(removed.trim_end_matches(',').to_owned() + "]}"), &[]).await.unwrap();
    let (steps, _) = run(&stage, stage.dead.clone(), &ASKED).await;
    assert_eq!(done(&steps), [Done::Moved, Done::Refused], "{steps:?}");
    assert_eq!(stage.segments.contents()[0].0, both);
}

/// The dead letters as an operator may meet them.
#[derive(Debug)]
struct Odd {
    inner: Arc<dyn Queue>,
    /// Deletes answer together, as when they travel together.
    together: Option<Barrier>,
    /// Received messages show again at once.
    forgetful: bool,
    /// The call with this name is refused.
    refused: &'static str,
    received: AtomicUsize,
}

impl Odd {
    fn of(stage: &Stage) -> Self {
        Self {
            inner: stage.dead.clone(),
            together: None,
            forgetful: false,
            refused: "",
            received: AtomicUsize::new(0),
        }
    }

    fn allowed(&self, call: &str) -> Result<()> {
        if self.refused == call {
            return Err(Error::new(Kind::Unauthorized, format!("{call}: not allowed")));
        }
        Ok(())
    }
}

#[async_trait]
impl Queue for Odd {
    async fn receive(&self, max: usize, wait: Duration, hidden: Duration) -> Result<Vec<Message>> {
        self.received.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_secs(1)).await;
        let hidden = if self.forgetful { Duration::ZERO } else { hidden };
        self.inner.receive(max, wait, hidden).await
    }

    async fn delete(&self, receipt: &Receipt) -> Result<()> {
        self.allowed("delete")?;
        if let Some(together) = &self.together {
            together.wait().await;
        }
        self.inner.delete(receipt).await
    }

    async fn change_visibility(&self, receipt: &Receipt, hidden: Duration) -> Result<()> {
        self.allowed("change_visibility")?;
        self.inner.change_visibility(receipt, hidden).await
    }

    async fn send(&self, body: &str, attributes: &[(&str, &str)]) -> Result<()> {
        self.inner.send(body, attributes).await
    }
}

/// Dead letters of a job that goes on.
async fn letters(stage: &Stage, count: u32) {
    stage.job("job", count).await;
    for index in 0..count {
        let event = written(&stage.input(&Stage::segment("job", index, count)));
        stage.dead.send(&event, &[]).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_together_is_deleted_together() {
    let stage = Stage::new();
    letters(&stage, 7).await;
    let odd = Odd { together: Some(Barrier::new(7)), ..Odd::of(&stage) };
    let (steps, ended) = run(&stage, Arc::new(odd), &ASKED).await;
    ended.unwrap();
    assert_eq!(done(&steps), [Done::Moved; 7]);
    assert_eq!(stage.dead.contents(), []);
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_shows_again_is_looked_at_once() {
    let stage = Stage::new();
    for body in ["not JSON", "nor this"] {
        stage.dead.send(body, &[]).await.unwrap();
    }
    let odd = Arc::new(Odd { forgetful: true, ..Odd::of(&stage) });
    let (steps, ended) = run(&stage, odd.clone(), &ASKED).await;
    ended.unwrap();
    assert_eq!(done(&steps), [Done::Refused; 2]);
    assert_eq!(odd.received.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_tidied_up_is_told() {
    let stage = Stage::new();
    letters(&stage, 2).await;
    let odd = Odd { refused: "delete", ..Odd::of(&stage) };
    let (steps, ended) = run(&stage, Arc::new(odd), &ASKED).await;
    assert_eq!(ended.unwrap_err().kind(), Kind::Unauthorized);
    let both = [Done::Moved, Done::Moved, Done::Unsettled, Done::Unsettled];
    assert_eq!(done(&steps), both, "{steps:?}");
    assert_eq!((stage.segments.contents().len(), stage.dead.contents().len()), (2, 2));

    let stage = Stage::new();
    let final_file = stage.buckets.output.uri(&ObjectKey::Final("gone".parse().unwrap())).unwrap();
    stage.dead.send(&written(&final_file), &[]).await.unwrap();
    let odd = Odd { refused: "change_visibility", ..Odd::of(&stage) };
    let (steps, ended) = run(&stage, Arc::new(odd), &ASKED).await;
    ended.unwrap();
    assert_eq!(done(&steps), [Done::Refused, Done::Unsettled], "{steps:?}");
    assert!(steps[1].why.contains("hidden for up to 5 min"), "{steps:?}");
}
