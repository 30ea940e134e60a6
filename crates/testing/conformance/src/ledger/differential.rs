//! Random histories of verbs, played to the ledger under test and to the one in memory.
//!
//! Every answer and every read must agree. A history that disagrees is shortened before it is
//! reported, and its seed with it. The universe is small on purpose: two jobs, few segments,
//! holders and nonces, so that verbs meet.

use std::fmt::Debug;
use std::ops::Range;
use std::time::Duration;

use parallax_job::{JobId, JobStatus, Mode, Segment, Timestamp, Uri};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::fixtures::{Replicas, at, holder, id, intent, uri};
use crate::memory::MemoryLedger;
use parallax_ports::ledger::{AttemptError, Cost, Fence, HolderId, Intent, Job, Resend};
use parallax_ports::{Custody, Ledger, Locations};

/// How often a history that disagrees is played again, in part, to shorten it.
const SHORTENINGS: usize = 150;

/// How many histories, and how long.
#[derive(Debug, Clone)]
pub struct Differential {
    /// One history for each.
    pub seeds: Range<u64>,
    /// Verbs in each.
    pub steps: usize,
    /// All reads are compared after this many verbs, and at the end.
    pub read_every: usize,
}

/// Plays random histories.
///
/// # Panics
/// Where the ledger and the model disagree: with the seed, a shorter history if one was found and both
/// answers.
pub async fn differential(plan: Differential, make: impl AsyncFn() -> Replicas) {
    for seed in plan.seeds.clone() {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut now = 0;
        let mut verbs: Vec<Verb> = (0..plan.steps).map(|_| Verb::any(&mut rng, &mut now)).collect();
        let Err(mut why) = play(&make().await, &verbs, plan.read_every).await else { continue };
        let (mut chunk, mut tries) = (verbs.len(), 0);
        while chunk > 0 && tries < SHORTENINGS {
            let mut start = 0;
            while start < verbs.len() && tries < SHORTENINGS {
                tries += 1;
                let end = (start + chunk).min(verbs.len());
                let shorter = [&verbs[..start], &verbs[end..]].concat();
                match play(&make().await, &shorter, 1).await {
                    Err(reason) => (verbs, why) = (shorter, reason),
                    Ok(()) => start = end,
                }
            }
            chunk /= 2;
        }
        panic!("seed {seed}: {why}\nafter:\n{verbs:#?}");
    }
}

async fn play(ledgers: &Replicas, verbs: &[Verb], read_every: usize) -> Result<(), String> {
    let model = MemoryLedger::default();
    for (n, verb) in verbs.iter().enumerate() {
        let fence = verb.fence(&model).await;
        let ledger = &ledgers[n % ledgers.len()];
        let (wanted, found) = futures::join!(
            verb.apply(&model, fence.as_ref()),
            verb.apply(&**ledger, fence.as_ref())
        );
        same(&format!("answer to verb {n}, {verb:?}"), &wanted, &found)?;
        if (n + 1) % read_every == 0 || n + 1 == verbs.len() {
            let reader = &ledgers[(n + 1) % ledgers.len()];
            let now = at(n as i64 * 3);
            let (wanted, found) = futures::join!(reads(&model, now), reads(&**reader, now));
            for ((name, wanted), (_, found)) in wanted.iter().zip(&found) {
                same(&format!("{name} after verb {n}"), wanted, found)?;
            }
        }
    }
    Ok(())
}

fn same(what: &str, wanted: &str, found: &str) -> Result<(), String> {
    if wanted == found {
        return Ok(());
    }
    Err(format!("{what} differs\n  model:  {wanted}\n  ledger: {found}"))
}

/// Which fence a verb carries, decided when it is played.
#[derive(Debug, Clone, Copy)]
enum Aim {
    Latest,
    LatestUntilMoved,
    Moved,
    Earlier,
    Stranger,
}

#[derive(Debug, Clone)]
enum Verb {
    Reserve(HolderId, u32, Timestamp, Timestamp),
    Unreserve(HolderId),
    Intent(Box<Intent>),
    Invoked(Segment, Aim, Locations, Timestamp),
    Renew(Segment, Aim, Timestamp),
    Complete(Segment, Aim, bool, Timestamp),
    CompleteAndReserve(Segment, Aim, HolderId, Timestamp, Timestamp),
    Release(Segment, Aim),
    Retry(Segment, Aim, Timestamp, AttemptError, Cost),
    Fail(Segment, Aim, AttemptError, Timestamp),
    Reopen(Segment, Timestamp),
    Hasten(Segment, Timestamp),
    CreateJob(Job),
    Advance(JobId, JobStatus, Option<u32>, Option<String>, Timestamp),
    Trigger(JobId, String, Resend, Timestamp),
    Triggered(JobId, Timestamp),
    Lock(JobId, String, Timestamp, Timestamp),
    Unlock(JobId, String),
}

const JOBS: [&str; 2] = ["job-a", "job_a"];

fn segments() -> impl Iterator<Item = Segment> {
    let modes = [Mode::Sbs, Mode::Anaglyph];
    JOBS.into_iter().flat_map(move |job| {
        (1..=2).flat_map(move |total| {
            (0..total).flat_map(move |index| {
                modes.map(|mode| Segment::new(id(job), index, total, mode).unwrap())
            })
        })
    })
}

/// Addresses for the outcomes of one segment: no two segments are ever promised the same.
fn places(segment: &Segment) -> [Uri; 4] {
    ["r 1+%", "r2", "f'1'", "f2"].map(|name| uri(&format!("{name}/{segment}.out")))
}

impl Aim {
    fn any(rng: &mut StdRng) -> Aim {
        match rng.random_range(0..10) {
            0 => Aim::Earlier,
            1 => Aim::Stranger,
            2 => Aim::LatestUntilMoved,
            3 => Aim::Moved,
            _ => Aim::Latest,
        }
    }
}

impl Verb {
    fn any(rng: &mut StdRng, now: &mut i64) -> Verb {
        *now += rng.random_range(0..6);
        // Clocks of replicas differ a little.
        let now = at(*now - rng.random_range(0..3));
        let later = |rng: &mut StdRng| now + Duration::from_secs(rng.random_range(0..40));
        let all: Vec<Segment> = segments().collect();
        // One segment is the favourite, so that things happen to it.
        let segment = |rng: &mut StdRng| {
            let which = rng.random_range(0..all.len() * 2);
            all.get(which).unwrap_or(&all[0]).clone()
        };
        let job = |rng: &mut StdRng| id(JOBS[rng.random_range(0..2usize)]);
        let name = |rng: &mut StdRng| format!("n'{}", rng.random_range(0..6));
        let error = |rng: &mut StdRng| {
            AttemptError::new("internal", &format!("it's \"{}\" 漢\n", rng.random_range(0..9)))
        };
        let aim = Aim::any(rng);
        let some = |rng: &mut StdRng| rng.random_bool(0.5);
        match rng.random_range(0..26) {
            0..4 => Verb::Reserve(HolderId(name(rng)), rng.random_range(0..4), later(rng), now),
            4 => Verb::Unreserve(HolderId(name(rng))),
            5..10 => {
                let holder = holder(&name(rng));
                // Usually a new name, as callers choose it; sometimes one that was used.
                let unique = format!("u{}", rng.random::<u32>());
                let nonce = if rng.random_bool(0.8) { unique } else { name(rng) };
                let custody = if some(rng) { Custody::Caller } else { Custody::Backend };
                let asked = intent(&segment(rng), "", now);
                let deadline = later(rng);
                let lease = some(rng).then(|| later(rng));
                Verb::Intent(Box::new(Intent { holder, nonce, custody, deadline, lease, ..asked }))
            }
            10..12 => {
                let segment = segment(rng);
                let [a, b, c, d] = places(&segment);
                let response = some(rng).then(|| if some(rng) { a } else { b });
                let failure = some(rng).then(|| if some(rng) { c } else { d });
                Verb::Invoked(segment, aim, Locations { response, failure }, later(rng))
            }
            12 => Verb::Renew(segment(rng), aim, later(rng)),
            13..16 => Verb::Complete(segment(rng), aim, some(rng), now),
            16 if some(rng) => {
                let next = HolderId(name(rng));
                Verb::CompleteAndReserve(segment(rng), aim, next, later(rng), now)
            }
            16 => Verb::Release(segment(rng), aim),
            17..19 => {
                let cost =
                    [Cost::Nothing, Cost::Attempt, Cost::Failure][rng.random_range(0..3usize)];
                Verb::Retry(segment(rng), aim, later(rng), error(rng), cost)
            }
            19 if rng.random_bool(0.3) => Verb::Fail(segment(rng), aim, error(rng), now),
            19 if rng.random_bool(0.3) => Verb::Reopen(segment(rng), now),
            19 if rng.random_bool(0.3) => Verb::Hasten(segment(rng), now),
            19 | 20 => {
                let title = some(rng).then(|| name(rng));
                Verb::CreateJob(Job { title, ..Job::new(job(rng), Mode::Sbs, now) })
            }
            21 => {
                let to = match rng.random_range(0..12usize) {
                    n @ 0..8 => JobStatus::ALL[n],
                    _ => JobStatus::ChunkingComplete,
                };
                let total = some(rng).then(|| rng.random_range(1..3));
                let reason = rng.random_bool(0.2).then(|| name(rng));
                Verb::Advance(job(rng), to, total, reason, now)
            }
            22 => {
                let resend = Resend {
                    unconfirmed: Duration::from_secs(rng.random_range(0..20)),
                    unfinished: Duration::from_secs(rng.random_range(0..60)),
                };
                Verb::Trigger(job(rng), name(rng), resend, now)
            }
            23 => Verb::Triggered(job(rng), now),
            24 => Verb::Lock(job(rng), name(rng), later(rng), now),
            _ => Verb::Unlock(job(rng), name(rng)),
        }
    }

    /// The fence to play the verb with, where it takes one.
    async fn fence(&self, model: &MemoryLedger) -> Option<Fence> {
        let (segment, aim) = match self {
            Verb::Invoked(segment, aim, ..)
            | Verb::Renew(segment, aim, _)
            | Verb::Complete(segment, aim, ..)
            | Verb::CompleteAndReserve(segment, aim, ..)
            | Verb::Release(segment, aim)
            | Verb::Retry(segment, aim, ..)
            | Verb::Fail(segment, aim, ..) => (segment, *aim),
            _ => return None,
        };
        let nobody =
            Fence { segment: segment.clone(), attempt: 1, nonce: "n'0".to_owned(), deadline: None };
        let row = model.segment(segment).await.unwrap();
        let deadline = row.as_ref().map(|row| row.deadline);
        let mut fence = row.map_or(nobody, |row| row.fence());
        match aim {
            Aim::Latest => {}
            Aim::LatestUntilMoved => fence.deadline = deadline,
            Aim::Moved => fence.deadline = deadline.map(|at| at + Duration::from_secs(1)),
            Aim::Earlier => fence.attempt = fence.attempt.saturating_sub(1),
            Aim::Stranger => fence.nonce.push('x'),
        }
        Some(fence)
    }

    async fn apply(&self, ledger: &dyn Ledger, fence: Option<&Fence>) -> String {
        let nobody = || unreachable!("verbs that need a fence are given one");
        let f = || fence.unwrap_or_else(nobody);
        match self {
            Verb::Reserve(holder, limit, until, now) => {
                text(ledger.reserve(holder, *limit, *until, *now).await)
            }
            Verb::Unreserve(holder) => text(ledger.unreserve(holder).await),
            Verb::Intent(intent) => text(ledger.record_intent(intent).await),
            Verb::Invoked(_, _, places, deadline) => {
                text(ledger.record_invoked(f(), places, *deadline).await)
            }
            Verb::Renew(_, _, deadline) => text(ledger.renew(f(), *deadline).await),
            Verb::Complete(_, _, release, now) => text(ledger.complete(f(), *release, *now).await),
            Verb::CompleteAndReserve(_, _, next, until, now) => {
                text(ledger.complete_and_reserve(f(), next, *until, *now).await)
            }
            Verb::Release(..) => text(ledger.release(f()).await),
            Verb::Retry(_, _, at, error, cost) => text(ledger.retry(f(), *at, error, *cost).await),
            Verb::Fail(_, _, error, now) => text(ledger.fail(f(), error, *now).await),
            Verb::Reopen(segment, now) => text(ledger.reopen(segment, *now).await),
            Verb::Hasten(segment, now) => text(ledger.hasten(segment, *now).await),
            Verb::CreateJob(job) => text(ledger.create_job(job).await),
            Verb::Advance(job, to, total, reason, now) => {
                text(ledger.advance(job, *to, *total, reason.as_deref(), *now).await)
            }
            Verb::Trigger(job, nonce, resend, now) => {
                text(ledger.trigger(job, nonce, *resend, *now).await)
            }
            Verb::Triggered(job, now) => text(ledger.triggered(job, *now).await),
            Verb::Lock(job, nonce, until, now) => {
                text(ledger.lock_reassembly(job, nonce, *until, *now).await)
            }
            Verb::Unlock(job, nonce) => text(ledger.unlock_reassembly(job, nonce).await),
        }
    }
}

fn text<T: Debug>(answer: parallax_ports::Result<T>) -> String {
    match answer {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("error: {}", error.chain()),
    }
}

/// Everything that can be read, by name. Lists whose order is not promised are sorted.
async fn reads(ledger: &dyn Ledger, now: Timestamp) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut holders = ledger.holders().await.unwrap();
    holders.sort_by(|a, b| a.id.cmp(&b.id));
    out.push(("holders".to_owned(), format!("{holders:?}")));
    for segment in segments() {
        let row = ledger.segment(&segment).await;
        out.push((format!("row of {segment}"), text(row)));
    }
    for place in segments().take(2).flat_map(|segment| places(&segment)) {
        out.push((format!("location {place}"), text(ledger.by_location(&place).await)));
    }
    for limit in [2, 100] {
        // Equally due rows may come in any order: only their times are compared.
        let rows = ledger.due(now, limit).await.unwrap();
        let times: Vec<_> = rows.iter().map(|r| r.next_at).collect();
        out.push((format!("due up to {limit}"), format!("{times:?}")));
    }
    for job in JOBS.map(id) {
        out.push((format!("job {job}"), text(ledger.job(&job).await)));
        for index in 0..2 {
            let mut rows = ledger.segments_at(&job, index).await.unwrap();
            rows.sort_by(|a, b| a.segment.cmp(&b.segment));
            out.push((format!("rows of {job} at {index}"), format!("{rows:?}")));
        }
        let mut rows = ledger.segments(&job).await.unwrap();
        rows.sort_by(|a, b| a.segment.cmp(&b.segment));
        out.push((format!("rows of {job}"), format!("{rows:?}")));
        for total in 1..=2 {
            let found = ledger.completions(&job, total).await;
            out.push((format!("completions of {job} in {total}"), text(found)));
        }
    }
    for status in JobStatus::ALL {
        let mut jobs = ledger.jobs(status).await.unwrap();
        jobs.sort_by(|a, b| a.job_id.cmp(&b.job_id));
        out.push((format!("jobs that are {status}"), format!("{jobs:?}")));
    }
    out
}
