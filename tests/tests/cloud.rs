//! `video-worker` on AWS as far as one machine can play it: real daemons, a moto server whose
//! buckets tell its queues, the SageMaker emulator and containers that copy.
//!
//! The short form runs with all tests; `make soak` asks for the long one by `SOAK_KILLS`,
//! `SOAK_JOBS`, `SOAK_SEGMENTS`, `SOAK_DRAINS`, `SOAK_FREEZES` and `SOAK_FREEZE_SECONDS`.

#![allow(clippy::unwrap_used)]

#[path = "cloud/soak.rs"]
mod soak;
#[path = "cloud/upgrade.rs"]
mod upgrade;

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use parallax_job::{JobId, JobStatus, Mode, ObjectKey};
use parallax_ports::Depth;
use parallax_ports::ledger::{Job, SegmentState};
use parallax_ports::{Ledger, Listing, ObjectStore, Queue};
use parallax_tests::cloud::{Cloud, Cut, Endpoint, EventFaults, Order, QueueUrls, content};
use parallax_tests::{Clip, Daemon, audio_md5, clip, finish, frame_md5s, number, seed};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const EMPTY: Depth = Depth { visible: 0, hidden: 0 };
/// What the platform allows between the signal and the end of a daemon before SageMaker.
const DRAIN: Duration = Duration::from_secs(15);

/// Ends a test that does not get on, saying where it stands.
struct Guard {
    began: Instant,
    limit: Duration,
}

impl Guard {
    fn new(limit: Duration) -> Self {
        Self { began: Instant::now(), limit }
    }

    fn check(&self, stands: impl FnOnce() -> String) {
        assert!(self.began.elapsed() < self.limit, "no end after {:?}: {}", self.limit, stands());
    }
}

fn cut(name: String, number: usize, total: u32) -> Cut {
    let mode = if number.is_multiple_of(2) { Mode::Sbs } else { Mode::Anaglyph };
    Cut { job_id: name.parse().unwrap(), mode, total, unreadable: false }
}

/// Whether nothing is going to happen any more.
async fn over(cloud: &Cloud, endpoint: &Endpoint, cuts: &[Cut]) -> bool {
    for cut in cuts {
        if !cloud.job(&cut.job_id).await.status.is_terminal() {
            return false;
        }
    }
    let holders = cloud.ledger.holders().await.unwrap();
    holders.iter().all(|holder| holder.work.is_none())
        && endpoint.stats().in_flight == 0
        // A late event still has to come to its queue, so this is asked before the queues are.
        && cloud.moto.events().get("pending").is_none_or(|events| *events == 0)
        && cloud.working_queues_are_empty().await
        && cloud.depth(&cloud.queues.reassembly.queue).await == EMPTY
}

/// Where jobs that are not over stand, for a person.
async fn standing(cloud: &Cloud, endpoint: &Endpoint, cuts: &[Cut]) -> String {
    let mut text = String::new();
    for cut in cuts {
        let job = cloud.job(&cut.job_id).await;
        if !job.status.is_terminal() {
            let rows = cloud.ledger.segments(&cut.job_id).await.unwrap();
            text += &format!("{job:?}\n");
            for row in rows.iter().filter(|row| row.state != SegmentState::Done) {
                text += &format!("  {row:?}\n");
            }
        }
    }
    for (name, urls) in cloud.queues.all() {
        text += &format!("{name}: {:?}\n", cloud.depth(&urls.queue).await);
    }
    text += &format!("{:?}\n{:?}", cloud.ledger.holders().await.unwrap(), endpoint.stats());
    text
}

/// Every segment of a completed job has one completion and its own result; a failed job says why.
async fn check_job(cloud: &Cloud, cut: &Cut) -> Job {
    let job = cloud.job(&cut.job_id).await;
    if job.status == JobStatus::Failed {
        assert!(job.reason.as_deref().is_some_and(|why| !why.is_empty()), "{job:?}");
        let rows = cloud.ledger.segments(&cut.job_id).await.unwrap();
        assert!(rows.iter().any(|row| row.state == SegmentState::Failed), "{job:?}: {rows:?}");
        return job;
    }
    assert_eq!(job.status, JobStatus::Completed, "{job:?}");
    let indices: Vec<_> = cloud.completions(cut).await.iter().map(|c| c.segment_index).collect();
    assert_eq!(indices, (0..cut.total).collect::<Vec<_>>(), "{}: each once", cut.job_id);
    for index in 0..cut.total {
        let key = ObjectKey::Result { job_id: cut.job_id.clone(), index };
        let uri = cloud.buckets.output.uri(&key).unwrap();
        assert_eq!(cloud.objects.read(&uri, 1 << 20).await.unwrap(), content(cut, index), "{uri}");
    }
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_finishes_though_every_event_is_lost() {
    let events = EventFaults { lose: 1.0, ..EventFaults::default() };
    let cloud = Cloud::start(events, Cloud::endpoint_pool()).await;
    let endpoint = cloud.endpoint(2, Duration::ZERO, &[]);
    let cuts = [cut("job".to_owned(), 0, 4)];
    cloud.submit(&cuts[0], Order::SegmentsFirst).await;
    let daemon = Daemon::run(cloud.worker_of(&endpoint).env("PACE", "quick"));
    let guard = Guard::new(Duration::from_secs(240));
    while !over(&cloud, &endpoint, &cuts).await {
        cloud.reassemble().await;
        if guard.began.elapsed() > guard.limit {
            let stands = standing(&cloud, &endpoint, &cuts).await;
            guard.check(|| stands);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(check_job(&cloud, &cuts[0]).await.status, JobStatus::Completed);
    assert_eq!(endpoint.stats().accepted, 4, "nothing was begun twice");
    let events = cloud.moto.events();
    assert_eq!(events["lost"], events["written"], "{events:?}");
    daemon.process.signal(Signal::SIGTERM);
    assert_eq!(daemon.process.wait_at_most(DRAIN).code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_replica_leaves_no_message_hidden() {
    let drains = number("SOAK_DRAINS", 5);
    let mut dice = StdRng::seed_from_u64(seed());
    let cloud = Cloud::start(EventFaults::default(), Cloud::endpoint_pool()).await;
    let endpoint = cloud.endpoint(5, Duration::from_millis(200), &[]);
    let (mut cuts, mut longest, mut hidden_at_once) = (Vec::new(), Duration::ZERO, 0);
    for drain in 0..drains as usize {
        // Every third time there is little to do, and receives wait.
        if drain % 3 != 2 {
            cuts.push(cut(format!("job-{drain}"), drain, 8));
            cloud.submit(cuts.last().unwrap(), Order::TotalFirst).await;
        }
        // Messages of a daemon that does not hand them back stay hidden for the default 120 s.
        let daemon = Daemon::run(&mut cloud.worker_of(&endpoint));
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..1500))).await;
        let asked = Instant::now();
        daemon.process.signal(Signal::SIGTERM);
        let ended = daemon.process.wait_at_most(DRAIN);
        longest = longest.max(asked.elapsed());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let holders = cloud.ledger.holders().await.unwrap();
        assert!(holders.iter().all(|holder| holder.work.is_some()), "reserved: {holders:?}");
        // An outcome that came before its announcement was recorded is put off for five seconds;
        // nothing else may be hidden, and nothing for longer.
        let queues = [&cloud.queues.video_worker, &cloud.queues.output_events];
        let mut first = true;
        let guard = Guard::new(Duration::from_secs(7));
        loop {
            // Of what is counted from now on. The count itself may take a while.
            let over = guard.began.elapsed() > guard.limit;
            let mut hidden = 0;
            for urls in queues {
                hidden += cloud.depth(&urls.queue).await.hidden;
            }
            if hidden == 0 {
                break;
            }
            hidden_at_once += u32::from(std::mem::take(&mut first));
            assert!(!over, "drain {drain}: {hidden} messages are hidden: {}", ended.stderr);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    // Whatever was interrupted comes to its end.
    let last = Daemon::run(&mut cloud.worker_of(&endpoint));
    let guard = Guard::new(Duration::from_secs(300 + 30 * u64::from(drains)));
    let mut effective = 0;
    while effective < cuts.len() || !over(&cloud, &endpoint, &cuts).await {
        tokio::time::sleep(Duration::from_millis(300)).await;
        effective += cloud.reassemble().await.1.len();
        if guard.began.elapsed() > guard.limit {
            let stands = standing(&cloud, &endpoint, &cuts).await;
            guard.check(|| stands);
        }
    }
    last.process.signal(Signal::SIGTERM);
    assert_eq!(last.process.wait_at_most(DRAIN).code, Some(0));
    for cut in &cuts {
        assert_eq!(check_job(&cloud, cut).await.status, JobStatus::Completed);
    }
    let stats = endpoint.stats();
    let attempts: u64 = cuts.iter().map(|cut| u64::from(cut.total)).sum();
    // Where the machine is so slow that a container cannot read, attempts fail and are repeated.
    assert_eq!(stats.accepted, attempts + stats.failed, "a stop costs no attempt: {stats:?}");
    println!(
        "drains: {drains} daemons stopped, the slowest within {:.1} s; {} jobs completed in \
         {attempts} attempts; early outcomes were put off at {hidden_at_once} of the stops, \
         and nothing else was hidden",
        longest.as_secs_f64(),
        cuts.len(),
    );
}

/// Runs a command of operators and answers what it said.
fn command(cloud: &Cloud, endpoint: &Endpoint, args: &[&str]) -> String {
    let done = finish(cloud.worker_of(endpoint).args(args));
    assert_eq!(done.code, Some(0), "{args:?}: {done:?}");
    done.stdout
}

/// Gives a message up, as its queue does after too many deliveries.
async fn give_up(cloud: &Cloud, urls: &QueueUrls) {
    let taken = cloud.take_all(&urls.queue).await;
    assert_eq!(taken.len(), 1, "{taken:?}");
    cloud.queue(&urls.dead_letters).send(&taken[0].body, &[]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_submitted_followed_and_deleted_by_commands_alone() {
    let cloud = Cloud::start(EventFaults::default(), Cloud::endpoint_pool()).await;
    let endpoint = cloud.endpoint(2, Duration::ZERO, &[]);
    let film = clip(&cloud.folder().join("film.mp4"), Clip { frames: 50, ..Clip::default() });
    let path = film.to_str().unwrap();
    let run = |args: &[&str]| command(&cloud, &endpoint, args);
    // Its bucket tells the queue once that it will.
    cloud.take_all(&cloud.queues.chunking.queue).await;
    assert_eq!(run(&["submit", path, "--job-id", "film", "--title", "A film"]), "film\n");
    // What a queue itself gave up is found by its redrive policy.
    give_up(&cloud, &cloud.queues.chunking).await;
    assert!(run(&["redrive"]).contains("moved 1, reopened 0, refused 0"));
    assert_eq!(run(&["submit", path, "--job-id", "unwanted", "--mode", "anaglyph"]), "unwanted\n");
    assert!(run(&["cancel", "unwanted"]).starts_with("cancelled: job unwanted"));
    let daemon = Daemon::run(cloud.worker_of(&endpoint).env("ROLES", "all"));
    let guard = Guard::new(Duration::from_secs(120));
    let job_id: JobId = "film".parse().unwrap();
    let listed = loop {
        let listed = run(&["jobs", "--status", "completed", "--json"]);
        if !listed.is_empty() {
            break serde_json::from_str::<serde_json::Value>(&listed).unwrap()["job"].clone();
        }
        let job = cloud.job(&job_id).await;
        assert_ne!(job.status, JobStatus::Failed, "{job:?}");
        guard.check(|| daemon.process.said().1);
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!((&listed["job_id"], &listed["title"]), (&"film".into(), &"A film".into()));
    let bytes = film.metadata().unwrap().len();
    assert_eq!(listed["source_file_size_bytes"], bytes);
    let made = cloud.folder().join("final.mp4");
    let uri = cloud.buckets.output.uri(&ObjectKey::Final(job_id.clone())).unwrap();
    cloud.objects.download(&uri, &made).await.unwrap();
    // The container copies, so nothing of the film may have changed.
    assert_eq!(frame_md5s(&made), frame_md5s(&film));
    assert_eq!(audio_md5(&made), audio_md5(&film));
    assert!(endpoint.stats().succeeded > 0, "the endpoint did it");
    daemon.process.signal(Signal::SIGTERM);
    assert_eq!(daemon.process.wait_at_most(DRAIN).code, Some(0));
    for job in ["film", "unwanted"] {
        let done = run(&["delete", job]);
        assert!(done.contains(&format!("input/{job} (1 object)")), "{done}");
        assert!(done.contains(&format!("deleted: job {job}")), "{done}");
        for folder in cloud.buckets.folders_of(&job.parse().unwrap()).unwrap() {
            assert_eq!(cloud.objects.list(&folder, None, 9).await.unwrap(), [], "{folder}");
        }
    }
    assert_eq!(cloud.ledger.segments(&job_id).await.unwrap(), []);
    let deleted = run(&["jobs", "--status", "deleted"]);
    assert!(deleted.contains("job film is deleted") && deleted.contains("job unwanted is deleted"));
}
