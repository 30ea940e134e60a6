//! kill -9 at any moment costs the work in progress, and nothing else.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use parallax_local::{Database, SqliteLedger, StateDir};
use parallax_ports::ledger::SegmentState;
use parallax_ports::{Kind, Ledger};
use parallax_tests::{
    Clip, Running, audio_md5, clip, convert, finish, frame_md5s, number, seed, state_folder,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Kills in `make test`; `KILLS` asks for more, as `make soak` does.
const MOMENTS: u32 = 16;
/// Conversions at a time.
const ABREAST: usize = 2;

struct Film {
    source: PathBuf,
    frames: Vec<String>,
    sound: String,
    segments: BTreeSet<u32>,
    /// Of a conversion that nobody interrupts, beside as many others as there will be.
    length: Duration,
}

fn film(folder: &Path) -> Film {
    let source = clip(
        &folder.join("film.mp4"),
        Clip { size: (64, 36), frames: 76, encoder: &["-preset", "ultrafast", "-g", "5"] },
    );
    let started = Instant::now();
    let undisturbed: Vec<_> = (0..ABREAST)
        .map(|i| {
            let out = folder.join(format!("undisturbed-{i}.mp4"));
            (Running::start(convert(&source).arg("-v").arg("-o").arg(&out)), out)
        })
        .collect();
    let mut segments = BTreeSet::new();
    let mut made = Vec::new();
    for (run, out) in undisturbed {
        let run = run.wait();
        assert_eq!(run.code, Some(0), "{run:?}");
        segments = told(&run.stderr, "segment completed").into_keys().collect();
        made.push(out);
    }
    assert!(segments.len() > 2, "{segments:?}");
    let length = started.elapsed();
    let frames = frame_md5s(&made[0]);
    assert_eq!(frames, frame_md5s(&made[1]), "the same every time");
    assert_eq!(frames.len(), 76);
    Film { sound: audio_md5(&source), source, frames, segments, length }
}

/// The segments that the ledger of an interrupted conversion holds complete.
fn done(state: &Path) -> BTreeSet<u32> {
    let database = state.join("parallax.db");
    if !database.exists() {
        return BTreeSet::new();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let _sole = released(state);
        let ledger = SqliteLedger::new(Database::open(database).await.unwrap());
        let mut done = BTreeSet::new();
        for status in parallax_job::JobStatus::ALL {
            for job in ledger.jobs(status).await.unwrap() {
                let rows = ledger.segments(&job.job_id).await.unwrap();
                let rows = rows.iter().filter(|row| row.state == SegmentState::Done);
                done.extend(rows.map(|row| row.segment.index));
            }
        }
        done
    })
}

/// The folder of a process that was killed. A child that it was about to start has its lock until it
/// becomes another program, which the kill does not end.
fn released(state: &Path) -> StateDir {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        match StateDir::open_exclusive(state) {
            Err(error) if error.kind() == Kind::Conflict && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(20));
            }
            taken => return taken.unwrap(),
        }
    }
}

/// How often the log tells `what` of each segment.
fn told(log: &str, what: &str) -> BTreeMap<u32, u32> {
    let mut count = BTreeMap::new();
    for line in log.lines().filter(|line| line.contains(what)) {
        let (_, rest) = line.split_once("segment_index=").unwrap_or_else(|| panic!("{line}"));
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        *count.entry(digits.parse().unwrap()).or_default() += 1;
    }
    count
}

/// One conversion, killed at every one of `moments` of its successive processes, then resumed to
/// the end.
fn killed(film: &Film, folder: &Path, moments: &[Duration]) {
    let out = folder.join("out.mp4");
    let kept = || state_folder(folder);
    let command = |resume: bool| {
        let mut command = convert(&film.source);
        command.arg("-v").arg("-o").arg(&out);
        if resume {
            command.arg("--resume");
        }
        command
    };
    let mut before = BTreeSet::new();
    let check = |log: &str, before: &BTreeSet<u32>| {
        for what in ["attempt starts", "segment completed"] {
            for (index, times) in told(log, what) {
                assert!(!before.contains(&index), "segment {index} was complete: {log}");
                assert_eq!(times, 1, "{what}, segment {index}: {log}");
            }
        }
    };
    for (nth, moment) in moments.iter().enumerate() {
        if out.exists() && kept().is_none() {
            break;
        }
        let run = Running::start(&mut command(nth > 0));
        std::thread::sleep(*moment);
        run.signal(Signal::SIGKILL);
        let (log, _) = (run.said().1, run.wait());
        check(&log, &before);
        let now = kept().map(|state| done(&state)).unwrap_or_default();
        if !out.exists() {
            assert!(now.is_superset(&before), "completions are kept: {before:?}, {now:?}");
            before = now;
        }
    }
    if !out.exists() || kept().is_some() {
        let delivered = out.exists();
        let run = finish(&mut command(true));
        assert_eq!(run.code, Some(0), "{run:?}");
        check(&run.stderr, &before);
        if !delivered {
            let completed: BTreeSet<u32> =
                told(&run.stderr, "segment completed").into_keys().collect();
            let missing: BTreeSet<u32> = film.segments.difference(&before).copied().collect();
            assert_eq!(completed, missing, "what was left, exactly");
        }
    }
    assert_eq!(frame_md5s(&out), film.frames);
    assert_eq!(audio_md5(&out), film.sound);
    let left: Vec<_> = folder.read_dir().unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["out.mp4"], "nothing is left over");
}

#[test]
fn kills_each_followed_by_resume_change_nothing() {
    let seed = seed();
    let folder = tempfile::tempdir().unwrap();
    let film = film(folder.path());
    let mut dice = StdRng::seed_from_u64(seed);
    // Single kills all over the conversion, and every fifth time several in a row.
    let mut cases: Vec<Vec<Duration>> = Vec::new();
    let mut left = number("KILLS", MOMENTS) as usize;
    while left > 0 {
        let kills = if cases.len() % 5 == 4 { left.min(3) } else { 1 };
        let latest = if kills > 1 { 0.4 } else { 1.0 };
        let mut moment = || film.length.mul_f64(dice.random_range(0.0..latest));
        cases.push((0..kills).map(|_| moment()).collect());
        left -= kills;
    }
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..ABREAST {
            scope.spawn(|| {
                loop {
                    let case = next.fetch_add(1, Ordering::Relaxed);
                    let Some(moments) = cases.get(case) else { break };
                    println!("conversion {case}: killed after {moments:?} of {:?}", film.length);
                    let own = folder.path().join(format!("case-{case}"));
                    std::fs::create_dir(&own).unwrap();
                    killed(&film, &own, moments);
                }
            });
        }
    });
}
