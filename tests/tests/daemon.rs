//! `video-worker` over the embedded platform, as processes that share a state folder.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use nix::sys::signal::Signal;
use parallax_job::{JobId, JobStatus, Mode, ObjectKey, ReassemblyMessage, Segment, Timestamp};
use parallax_local::{Deployment, StateDir};
use parallax_ports::Depth;
use parallax_ports::ledger::{Advance, Job};
use parallax_ports::{Clock, Ledger, ObjectStore, SystemClock};
use parallax_tests::{
    COMPLETED, Clip, Daemon, audio_md5, clip, completions_told, finish, frame_md5s, left_eye_psnr,
    probe, program, seed,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const JOBS: usize = 8;
const SEGMENTS: u32 = 125;
const LIMIT: u32 = 5;
const ROLES: &str = "segments,output-events,reconcile";

/// The state folder as the tests see it, beside the daemons.
struct World {
    local: Deployment,
    jobs: Vec<JobId>,
    _shared: StateDir,
}

impl World {
    async fn open(folder: &Path) -> Self {
        let shared = StateDir::open_shared(folder).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let local = Deployment::open(&shared, "input", "output", clock).await.unwrap();
        Self { local, jobs: Vec::new(), _shared: shared }
    }

    /// Jobs that are cut into segments of a few bytes, whose events wait in the queue.
    async fn with_jobs(folder: &Path) -> Self {
        Self::with_some(folder, JOBS, SEGMENTS).await
    }

    async fn with_some(folder: &Path, jobs: usize, segments: u32) -> Self {
        let mut world = Self::open(folder).await;
        for number in 0..jobs {
            let job_id: JobId = format!("job-{number}").parse().unwrap();
            let mode = if number % 2 == 0 { Mode::Sbs } else { Mode::Anaglyph };
            let now = SystemClock.now();
            let ledger = &world.local.ledger;
            assert!(ledger.create_job(&Job::new(job_id.clone(), mode, now)).await.unwrap());
            for status in [JobStatus::ChunkingInProgress, JobStatus::ChunkingComplete] {
                let moved = ledger.advance(&job_id, status, Some(segments), None, now).await;
                assert_eq!(moved.unwrap(), Advance::Moved);
            }
            for index in 0..segments {
                let segment = Segment::new(job_id.clone(), index, segments, mode).unwrap();
                let uri = world.local.buckets.input.uri(&ObjectKey::Segment(segment)).unwrap();
                let body = format!("{job_id} {index}");
                world.local.objects.write(&uri, body.as_bytes()).await.unwrap();
            }
            world.jobs.push(job_id);
        }
        world
    }

    async fn in_flight(&self) -> usize {
        self.local.ledger.holders().await.unwrap().len()
    }

    async fn completed(&self) -> usize {
        let mut count = 0;
        for job_id in &self.jobs {
            count += self.local.ledger.completions(job_id, SEGMENTS).await.unwrap().len();
        }
        count
    }

    /// The queues in which nothing may be left once all is done.
    async fn working_queues_are_empty(&self) -> bool {
        let empty = Depth { visible: 0, hidden: 0 };
        let local = &self.local;
        let queues = [&local.segments, &local.output_events, &local.chunking];
        for queue in queues {
            if queue.depth().await.unwrap() != empty {
                return false;
            }
        }
        true
    }

    /// Reassembly messages by job.
    async fn reassembly_messages(&self) -> BTreeMap<JobId, usize> {
        let mut count = BTreeMap::new();
        for entry in self.local.reassembly.peek(10_000).await.unwrap() {
            *count.entry(ReassemblyMessage::parse(&entry.body).unwrap().job_id).or_default() += 1;
        }
        count
    }

    /// Every segment of every job is complete and its result is in its place; nothing is held,
    /// hidden or put aside.
    async fn check_all_complete(&self) {
        for job_id in &self.jobs {
            let completions = self.local.ledger.completions(job_id, SEGMENTS).await.unwrap();
            let indices: Vec<u32> = completions.iter().map(|c| c.segment_index).collect();
            assert_eq!(indices, (0..SEGMENTS).collect::<Vec<_>>(), "{job_id}: each once");
            for index in 0..SEGMENTS {
                let key = ObjectKey::Result { job_id: job_id.clone(), index };
                let uri = self.local.buckets.output.uri(&key).unwrap();
                let result = self.local.objects.read(&uri, 100).await.unwrap();
                assert_eq!(result, format!("{job_id} {index}").into_bytes());
            }
            let job = self.local.ledger.job(job_id).await.unwrap().unwrap();
            assert_eq!(job.status, JobStatus::Reassembling);
        }
        let local = &self.local;
        assert_eq!(local.dead_letters.depth().await.unwrap(), Depth { visible: 0, hidden: 0 });
        assert_eq!(local.reassembly.depth().await.unwrap().hidden, 0);
        assert!(self.working_queues_are_empty().await);
        let holders = local.ledger.holders().await.unwrap();
        let working: Vec<_> = holders.iter().filter(|holder| holder.work.is_some()).collect();
        assert!(working.is_empty(), "no permit is held for work: {working:?}");
    }
}

fn limit() -> String {
    LIMIT.to_string()
}

#[tokio::test]
async fn a_thousand_segments_complete_once_each_within_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::with_jobs(folder.path()).await;
    let limit = limit();
    let variables = [
        ("ROLES", ROLES),
        ("INFERENCE_BACKEND", "stub"),
        ("INFERENCE_MAX_IN_FLIGHT", limit.as_str()),
    ];
    let daemon = Daemon::start(folder.path(), &variables);
    let mut busiest = 0;
    // A message is there before it is counted.
    let asked_for = || daemon.metric("parallax_reassembly_messages_total");
    while !(world.completed().await == 1000
        && world.working_queues_are_empty().await
        && world.reassembly_messages().await.len() == JOBS
        && asked_for() >= JOBS as f64)
    {
        let in_flight = world.in_flight().await;
        assert!(in_flight <= LIMIT as usize, "{in_flight} permits are held");
        busiest = busiest.max(in_flight);
        assert!(daemon.metric("parallax_in_flight_permits") <= f64::from(LIMIT));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(busiest > 1, "the limit was never tested");
    assert_eq!(daemon.metric(COMPLETED), 1000.0);
    assert_eq!(asked_for(), JOBS as f64);
    daemon.process.signal(Signal::SIGTERM);
    let ended = daemon.process.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(world.in_flight().await, 0, "reservations are given back");
    let once: BTreeMap<_, _> = world.jobs.iter().cloned().map(|job_id| (job_id, 1)).collect();
    assert_eq!(world.reassembly_messages().await, once);
    world.check_all_complete().await;
}

#[tokio::test]
async fn killed_daemons_lose_nothing_and_repeat_no_completion() {
    const DAEMONS: usize = 3;
    const KILLS: usize = 12;
    let mut dice = StdRng::seed_from_u64(seed());
    let folder = tempfile::tempdir().unwrap();
    let world = World::with_jobs(folder.path()).await;
    let limit = limit();
    let variables = [
        ("ROLES", ROLES),
        ("INFERENCE_BACKEND", "stub"),
        ("INFERENCE_MAX_IN_FLIGHT", limit.as_str()),
        ("LEASE_SECONDS", "3"),
    ];
    let start = || Daemon::start(folder.path(), &variables);
    let mut daemons: Vec<Daemon> = (0..DAEMONS).map(|_| start()).collect();
    let mut told = Vec::new();
    // Kills are spread over the work: each falls when a random number of segments is done.
    let mut moments: Vec<usize> = (0..KILLS).map(|_| dice.random_range(0..950)).collect();
    moments.sort_unstable();
    println!("a daemon is killed at {moments:?} completions");
    let mut moments = moments.into_iter().peekable();
    loop {
        let completed = world.completed().await;
        let in_flight = world.in_flight().await;
        assert!(in_flight <= LIMIT as usize, "{in_flight} permits are held");
        if moments.next_if(|moment| *moment <= completed).is_some() {
            let victim = dice.random_range(0..DAEMONS);
            daemons[victim].process.signal(Signal::SIGKILL);
            let dead = std::mem::replace(&mut daemons[victim], start());
            told.extend(completions_told(&dead.process.wait().stderr));
        }
        if completed == 1000
            && world.working_queues_are_empty().await
            && world.reassembly_messages().await.len() == JOBS
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for daemon in daemons {
        daemon.process.signal(Signal::SIGTERM);
        let ended = daemon.process.wait();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        told.extend(completions_told(&ended.stderr));
    }
    let different: BTreeSet<_> = told.iter().cloned().collect();
    assert_eq!(told.len(), different.len(), "a completion was recorded twice");
    // A kill between the message and its confirmation makes one more message, never none.
    let messages = world.reassembly_messages().await;
    assert_eq!(messages.keys().collect::<Vec<_>>(), world.jobs.iter().collect::<Vec<_>>());
    assert!(messages.values().sum::<usize>() <= JOBS + KILLS, "{messages:?}");
    world.check_all_complete().await;
    // However many messages there are, the right to reassemble is given once.
    for job_id in &world.jobs {
        let far = Timestamp(i64::MAX / 2);
        let now = SystemClock.now();
        let lock = async |nonce: &str| {
            world.local.ledger.lock_reassembly(job_id, nonce, far, now).await.unwrap()
        };
        assert_eq!(lock("one").await, parallax_ports::ledger::Lock::Acquired(SEGMENTS));
        assert_eq!(lock("other").await, parallax_ports::ledger::Lock::Held(far));
    }
}

#[tokio::test]
async fn a_submitted_film_becomes_a_stereoscopic_one() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let film = clip(&folder.path().join("film.mp4"), Clip { frames: 50, ..Clip::default() });
    let daemon = Daemon::start(&state, &[("INFERENCE_BACKEND", "draft"), ("ROLES", "all")]);
    // Readiness does not wait for the loops: one may still be on its way.
    loop {
        let (status, live) = daemon.get("/livez");
        assert_eq!(status, 200, "{live}");
        if live.contains("\"loops\":5") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(daemon.get("/readyz").0, 200);

    let mut command = program("video-worker");
    command.arg("submit").arg(&film).args(["--job-id", "film", "--state-dir"]).arg(&state);
    let submitted = finish(&mut command);
    assert_eq!((submitted.code, submitted.stdout.as_str()), (Some(0), "film\n"), "{submitted:?}");
    let world = World::open(&state).await;
    let job_id: JobId = "film".parse().unwrap();
    loop {
        let job = world.local.ledger.job(&job_id).await.unwrap().unwrap();
        assert_ne!(job.status, JobStatus::Failed, "{job:?}");
        if job.status == JobStatus::Completed {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let uri = world.local.buckets.output.uri(&ObjectKey::Final(job_id)).unwrap();
    let made = world.local.objects.path(&uri).unwrap();
    assert!(made.ends_with("objects/output/jobs/film/final.mp4"), "{made:?}");
    assert_eq!(audio_md5(&made), audio_md5(&film));
    assert_eq!(frame_md5s(&made).len(), 50);
    assert_eq!(probe(&made)["streams"][0]["width"], 256);
    assert!(left_eye_psnr(&film, &made) >= 40.0);
    assert_eq!(daemon.metric(COMPLETED), 1.0);

    let twice = finish(&mut command);
    assert!(twice.error().contains("--job-id film"), "{twice:?}");
    daemon.process.signal(Signal::SIGTERM);
    assert_eq!(daemon.process.wait().code, Some(0));
    let left = state.join("scratch").read_dir().unwrap().count();
    assert_eq!(left, 0, "no scratch is left over");
}

#[test]
fn configuration_is_checked_before_the_first_message() {
    let folder = tempfile::tempdir().unwrap();
    let check = |variables: &[(&str, &str)]| {
        let mut command = program("video-worker");
        command.arg("--check-config").env("STATE_DIR", folder.path().join("state"));
        finish(command.envs(variables.iter().copied()))
    };
    let good = check(&[]);
    assert_eq!((good.code, good.stdout.as_str()), (Some(0), "configuration is good\n"), "{good:?}");
    for (name, value, allowed) in [
        ("ROLES", "segments,oops", "reassembly"),
        ("INFERENCE_MAX_IN_FLIGHT", "21", "1..=20"),
        ("INFERENCE_BACKEND", "magic", "draft"),
        ("INPUT_BUCKET_NAME", "a/b", "plain name"),
    ] {
        let bad = check(&[(name, value)]);
        assert!(bad.code.is_some_and(|code| code != 0), "{name}: {bad:?}");
        assert!(bad.stderr.contains(value) && bad.stderr.contains(allowed), "{name}: {bad:?}");
    }
    let blocked = folder.path().join("file");
    std::fs::write(&blocked, "x").unwrap();
    let bad = check(&[("STATE_DIR", blocked.to_str().unwrap())]);
    assert!(bad.code == Some(1) && bad.stderr.contains(blocked.to_str().unwrap()), "{bad:?}");
}

/// A server that tells by `told` what token an attempt has, and does the work once `go` says so.
fn start_server(told: Sender<String>, go: Receiver<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut token, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                let line = line.trim().to_ascii_lowercase();
                if let Some(value) = line.strip_prefix("authorization: bearer ") {
                    value.clone_into(&mut token);
                }
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.parse().unwrap();
                }
                if line.is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            if told.send(token).is_err() || go.recv().is_err() {
                return;
            }
            let output = body["output_uri"].as_str().unwrap().trim_start_matches("file://");
            let output = PathBuf::from(output);
            std::fs::create_dir_all(output.parent().unwrap()).unwrap();
            std::fs::write(output, [b'r'; 64]).unwrap();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.get_mut().write_all(answer).unwrap();
        }
    });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_for_servers_changes_without_a_restart_and_no_attempt_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let _world = World::with_some(&state, 1, 4).await;
    let (told, tokens) = channel();
    let (go, may) = channel();
    let url = start_server(told, may);
    let file = folder.path().join("token");
    std::fs::write(&file, "canary-first\n").unwrap();
    let daemon = Daemon::start(
        &state,
        &[
            ("ROLES", ROLES),
            ("INFERENCE_BACKEND", "http"),
            ("INFERENCE_HTTP_URL", &url),
            ("INFERENCE_HTTP_TOKEN_FILE", file.to_str().unwrap()),
            ("INFERENCE_MAX_IN_FLIGHT", "1"),
            ("LOG_FILTER", "trace"),
        ],
    );
    let hang_up = |words: &str| {
        let count = || daemon.process.said().1.matches(words).count();
        let before = count();
        daemon.process.signal(Signal::SIGHUP);
        while count() == before {
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let next = || tokens.recv_timeout(Duration::from_secs(60)).expect("another attempt");
    // Each is asked for while the one before runs.
    assert_eq!(next(), "canary-first");
    std::fs::write(&file, "canary-second").unwrap();
    hang_up("the secret was read again");
    go.send(()).unwrap();
    assert_eq!(next(), "canary-second");
    for broken in ["", "canary\ncanary"] {
        std::fs::write(&file, broken).unwrap();
        hang_up("the old one stays");
    }
    go.send(()).unwrap();
    assert_eq!(next(), "canary-second");
    go.send(()).unwrap();
    assert_eq!(next(), "canary-second");
    go.send(()).unwrap();
    while daemon.metric(COMPLETED) < 4.0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(tokens.try_recv().is_err(), "none was attempted twice");
    let (stdout, log) = daemon.process.said();
    assert!(!log.contains("canary") && stdout.is_empty(), "{log}");
}
