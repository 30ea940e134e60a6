//! Jobs that are deleted while they are cut or joined: nothing of them appears afterwards.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parallax_conformance::memory::MemoryObjects;
use parallax_job::{Buckets, JobId, JobStatus, Mode, ObjectKey, ReassemblyMessage, Segment, Uri};
use parallax_ports::ledger::{Job, Resend};
use parallax_ports::{
    Assembler, Chunker, Clock, Cut, Ledger, Listing, MediaError, ObjectStore, OperatorLedger, Queue,
};
use parallax_worker::{Config, Delete, Done, Inbox, Ports, Role, cancel, delete};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::stage::{Endpoint, Stage, written};

const TOTAL: u32 = 6;
/// How long each step of the media takes.
const STEP: Duration = Duration::from_secs(60);

fn job() -> JobId {
    "job".parse().unwrap()
}

/// Plans for a step, and then writes an object in each. Heeds no token.
#[derive(Debug, Clone)]
struct Slow {
    objects: Arc<MemoryObjects>,
    buckets: Buckets,
}

impl Slow {
    fn of(stage: &Stage) -> Arc<Self> {
        Arc::new(Self { objects: stage.objects.clone(), buckets: stage.buckets.clone() })
    }
}

#[async_trait]
impl Chunker for Slow {
    async fn plan(
        &self,
        _: &JobId,
        _: Mode,
        _: &CancellationToken,
    ) -> Result<Box<dyn Cut>, MediaError> {
        sleep(STEP).await;
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Cut for Slow {
    fn total(&self) -> u32 {
        TOTAL
    }

    async fn publish(&self, _: &CancellationToken) -> Result<(), MediaError> {
        for index in 0..TOTAL {
            sleep(STEP).await;
            let segment = Segment::new(job(), index, TOTAL, Mode::Sbs).unwrap();
            let uri = self.buckets.input.uri(&ObjectKey::Segment(segment)).unwrap();
            self.objects.write(&uri, b"segment").await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Assembler for Slow {
    async fn assemble(
        &self,
        job_id: &JobId,
        _: u32,
        _: &CancellationToken,
    ) -> Result<(), MediaError> {
        sleep(STEP).await;
        let uri = self.buckets.output.uri(&ObjectKey::Final(job_id.clone())).unwrap();
        self.objects.write(&uri, b"sixteen bytes, ok").await?;
        Ok(())
    }
}

/// Everything in the job's folders.
async fn objects(stage: &Stage) -> Vec<Uri> {
    let mut all = Vec::new();
    for folder in stage.buckets.folders_of(&job()).unwrap() {
        all.extend(stage.objects.list(&folder, None, 100).await.unwrap());
    }
    all
}

/// Deletes the job; the last thing that was told.
async fn deleted(stage: &Stage, force: bool) -> (Done, String) {
    let asked = Delete { job: job(), force, dry_run: false };
    let mut steps = Vec::new();
    let mut tell = |step| steps.push(step);
    delete(&stage.operator(Vec::new()), &asked, stage.clock.now(), &mut tell).await.unwrap();
    let last = steps.pop().unwrap();
    (last.done, last.why)
}

async fn cancelled(stage: &Stage) {
    let operator = stage.operator(Vec::new());
    cancel(&operator, &job(), None, false, stage.clock.now()).await.unwrap();
}

/// A source whose event is in the chunker's queue.
async fn uploaded(stage: &Stage) -> Ports {
    let made = Job::new(job(), Mode::Sbs, stage.clock.now());
    assert!(stage.ledger.create_job(&made).await.unwrap());
    let source = stage.buckets.input.uri(&ObjectKey::Source(job())).unwrap();
    stage.write(&source).await;
    let ports = stage.ports(Arc::new(Endpoint));
    let queue: Arc<dyn Queue> = Arc::<parallax_conformance::memory::MemoryQueue>::default();
    queue.send(&written(&source), &[]).await.unwrap();
    let chunking = Some(Inbox { name: "chunking", queue, ..ports.segments.clone() });
    Ports { chunking, chunker: Slow::of(stage), ..ports }
}

#[tokio::test(start_paused = true)]
async fn of_a_job_that_is_deleted_while_it_is_cut_nothing_appears_afterwards() {
    // While it is planned, between two segments, and with both said in one moment or apart.
    for (cancels_after, deletes_after) in [(30, 30), (90, 90), (90, 200), (200, 200), (30, 400)] {
        let stage = Stage::new();
        let ports = uploaded(&stage).await;
        let running =
            stage.run(ports, stage.config(), &[Role::Chunking], Duration::from_secs(1800));
        let operating = async {
            sleep(Duration::from_secs(cancels_after)).await;
            cancelled(&stage).await;
            sleep(Duration::from_secs(deletes_after - cancels_after)).await;
            assert_eq!(deleted(&stage, false).await.0, Done::Deleted);
            assert_eq!(objects(&stage).await, []);
        };
        tokio::join!(running, operating);
        assert_eq!(objects(&stage).await, [], "{cancels_after} s, {deletes_after} s");
        let found = stage.ledger.job(&job()).await.unwrap().unwrap();
        assert_eq!(found.status, JobStatus::Deleted);
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_job_that_is_cancelled_before_it_is_cut_no_segment_is_written() {
    let stage = Stage::new();
    let ports = uploaded(&stage).await;
    let running = stage.run(ports, stage.config(), &[Role::Chunking], Duration::from_secs(1800));
    let operating = async {
        sleep(STEP / 2).await;
        cancelled(&stage).await;
    };
    tokio::join!(running, operating);
    let source = stage.buckets.input.uri(&ObjectKey::Source(job())).unwrap();
    assert_eq!(objects(&stage).await, [source]);
}

#[tokio::test(start_paused = true)]
async fn what_a_chunker_wrote_that_died_is_removed_by_the_next_one() {
    let stage = Stage::new();
    let ports = uploaded(&stage).await;
    let dying = stage.run(ports.clone(), stage.config(), &[Role::Chunking], STEP * 60);
    tokio::select! {
        () = dying => panic!("it is cut in the middle"),
        () = sleep(STEP * 3 + STEP / 2) => {}
    }
    cancelled(&stage).await;
    deleted(&stage, false).await;
    let late = Segment::new(job(), 3, TOTAL, Mode::Sbs).unwrap();
    stage.write(&stage.input(&late)).await;
    stage.run(ports, stage.config(), &[Role::Chunking], Duration::from_secs(1800)).await;
    assert_eq!(objects(&stage).await, []);
}

/// A job whose only segment is complete and whose reassembly was asked for.
async fn complete(stage: &Stage) -> Ports {
    stage.job("job", 1).await;
    let row = stage.intended(&Stage::segment("job", 0, 1)).await;
    let now = stage.clock.now();
    stage.ledger.complete(&row.fence(), true, now).await.unwrap();
    let resend = Resend { unconfirmed: STEP, unfinished: STEP };
    stage.ledger.trigger(&job(), "n", resend, now).await.unwrap();
    stage.ledger.triggered(&job(), now).await.unwrap();
    let body = ReassemblyMessage { job_id: job() }.body();
    stage.reassembly.send(&body, &[]).await.unwrap();
    Ports { assembler: Slow::of(stage), ..stage.ports(Arc::new(Endpoint)) }
}

#[tokio::test(start_paused = true)]
async fn a_job_is_not_deleted_while_it_is_joined_unless_by_force_and_then_no_film_appears() {
    // With a short lease the join finds out while it works, and with a long one when it is done.
    for lease in [30, 900] {
        for force in [false, true] {
            let stage = Stage::new();
            let ports = complete(&stage).await;
            let reassembly_lease = Duration::from_secs(lease);
            let config = Config { reassembly_lease, ..stage.config() };
            let time = Duration::from_secs(1800);
            let running = stage.run(ports, config, &[Role::Reassembly], time);
            let operating = async {
                sleep(STEP / 2).await;
                cancelled(&stage).await;
                let (done, why) = deleted(&stage, force).await;
                if force {
                    return assert_eq!(done, Done::Deleted);
                }
                assert_eq!(done, Done::Refused);
                assert!(why.contains("being joined"), "{why}");
                sleep(time / 2).await;
                let until = stage.ledger.reassembling_until(&job()).await.unwrap();
                assert!(until.is_none_or(|until| until < stage.clock.now()), "{until:?}");
                assert_eq!(deleted(&stage, false).await.0, Done::Deleted);
            };
            tokio::join!(running, operating);
            assert_eq!(objects(&stage).await, [], "lease {lease} s, by force: {force}");
            assert_eq!((stage.reassembly.contents(), stage.dead.contents()), (vec![], vec![]));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_completed_job_is_deleted_at_once() {
    let stage = Stage::new();
    let ports = complete(&stage).await;
    stage.run(ports, stage.config(), &[Role::Reassembly], STEP + STEP / 4).await;
    assert_eq!(objects(&stage).await.len(), 1);
    assert_eq!(deleted(&stage, false).await.0, Done::Deleted);
    assert_eq!(objects(&stage).await, []);
}
