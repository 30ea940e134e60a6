//! What must be true when all is over, and whenever all replicas are drained.

use std::collections::BTreeSet;

use std::time::Duration;

use parallax_conformance::fault::Outage;
use parallax_job::{JobId, JobStatus, Mode, ObjectKey, Segment};
use parallax_ports::ledger::{Holder, Job, SegmentState};
use parallax_ports::{Custody, Ledger, ObjectStore};
use tokio::time::Instant;

use super::history::{History, Traces};
use super::server::{FRAGMENT, result_of};
use super::world::{POISON, World, now};

/// Probes of a backend that refuses before they are as far apart as they get, and seconds between two then.
const FIRST_PROBES: u64 = 4;
const PROBE_SECONDS: u64 = 8;

impl World {
    /// With every replica drained, nothing may be in anybody's hands.
    pub fn stands_still(&self) {
        for (name, queue) in self.queues() {
            let hidden = queue.in_hand();
            if hidden > 0 {
                self.watch.violated(format!("{name}: {hidden} messages hidden after the drain"));
            }
        }
        let (held, time) = (now(self.ledger.holders()), self.clock.now());
        let lasting = |h: &&Holder| h.work.is_none() && h.deadline > time;
        let reserved: Vec<_> = held.iter().filter(lasting).collect();
        if !reserved.is_empty() {
            self.watch.violated(format!("reservations after the drain: {reserved:?}"));
        }
    }

    fn judge_completed(&self, job_id: &JobId, total: u32) {
        let done = now(self.ledger.completions(job_id, total)).len();
        if done != total as usize {
            self.watch.violated(format!("{job_id} completed with {done} of {total} segments"));
        }
        let uri = self.config.buckets.output.uri(&ObjectKey::Final(job_id.clone())).unwrap();
        if !self.objects.contains(&uri) {
            self.watch.violated(format!("{job_id} completed without a final file"));
            return;
        }
        let film = String::from_utf8(now(self.objects.read(&uri, 1000))).unwrap();
        let piece = |index| Segment::new(job_id.clone(), index, total, Mode::Sbs).unwrap();
        // Each was whole before it was completed. A fragment is what a run at it, or one of an attempt
        // that was given out twice, wrote over that: players and the real reassembly notice.
        let is_right =
            |(index, found): (u32, &str)| found == FRAGMENT || found == result_of(&piece(index));
        let right =
            film.split(',').count() == total as usize && (0..).zip(film.split(',')).all(is_right);
        if !right {
            self.watch.violated(format!("{job_id} cut into {total} has a film of {film:?}"));
        }
    }

    fn judge_failed(&self, job: &Job) {
        let rows = now(self.ledger.segments(&job.job_id));
        let of_its_cut = rows.iter().filter(|row| !row.is_of_another_cut_than(job));
        let failed: Vec<_> = of_its_cut.filter(|row| row.state == SegmentState::Failed).collect();
        if failed.is_empty() || job.reason.is_none() {
            self.watch.violated(format!("{} failed without a segment or a reason", job.job_id));
        }
        for row in failed {
            let trouble = self.watch.trouble(&row.segment);
            let config = &self.config;
            let of_index = rows.iter().filter(|other| other.segment.index == row.segment.index);
            let cuts: BTreeSet<u32> = of_index.map(|other| other.segment.total).collect();
            let unsure = if cuts.len() > 1 { trouble.contradicted } else { 0 };
            let failures = trouble.failures + unsure;
            let excused = trouble.rejected > 0
                || failures >= config.max_failures
                // The last attempt has not been counted.
                || failures + trouble.expired + 1 >= config.max_attempts;
            if !excused {
                let why = &job.reason;
                self.watch.violated(format!("{} given up after {trouble:?}: {why:?}", row.segment));
            }
        }
    }

    /// While the backend refuses, a replica asks it with what it had begun, and then with one message
    /// every few seconds. Only where nothing else is refused can that be counted.
    fn judge_refusals(&self) {
        if self.scenario.refusals == 0 {
            return;
        }
        let counts = self.watch.tally.counts();
        let of = |kind| counts.get(kind).copied().unwrap_or_default();
        let refused = of("refused: throttled") + of("refused: unavailable");
        let now = Instant::now();
        let limit = u64::from(self.limits.0.max(self.limits.1));
        let most = |outage: &Outage| {
            let lasted = outage.until.min(now).saturating_duration_since(outage.from);
            limit + FIRST_PROBES + lasted.as_secs() / PROBE_SECONDS
        };
        let most = self.replicas * self.outages.iter().map(most).sum::<u64>();
        if refused > most {
            self.watch.violated(format!("asked {refused} times in vain, not at most {most}"));
        }
    }

    fn judge_dead_letters(&self) {
        let dead = self.dead_letters.contents();
        let moved = self.redriven.contents();
        let poison = dead.iter().chain(&moved).filter(|(body, _)| body == POISON).count();
        let sent = self.scenario.crashes.is_empty();
        if sent && poison == 0 || dead.iter().any(|(_, attributes)| attributes[0].1.is_empty()) {
            self.watch.violated(format!("dead letters: {dead:?}"));
        }
        if let Some((body, why)) = dead.iter().find(|(body, _)| body != POISON) {
            self.watch.violated(format!("a good message was put aside: {body} {why:?}"));
        }
        // Where nothing is worse than refusals or silence no message may be received so often in vain. What else
        // uses up deliveries may; that the work is done all the same has been looked at.
        if self.scenario.patience() > 0
            && let Some((body, _)) = moved.iter().find(|(body, _)| body != POISON)
        {
            self.watch.violated(format!("live work was moved to the dead letters: {body}"));
        }
    }
}

pub fn verdict(world: &World, time: Duration, crash_lives: Traces) -> History {
    let watch = &world.watch;
    let mut failed_jobs = 0;
    let mut segments = 0;
    for (job_id, total) in &*world.totals {
        segments += u64::from(*total);
        let job = now(world.ledger.job(job_id)).expect("jobs are not removed");
        match job.status {
            JobStatus::Completed => {
                world.judge_completed(job_id, job.total_segments.unwrap_or_default());
            }
            JobStatus::Failed => {
                failed_jobs += 1;
                world.judge_failed(&job);
            }
            status => watch.violated(format!("{job_id} ended {status}")),
        }
    }
    let held = now(world.ledger.holders());
    let bound: Vec<_> = held.iter().filter(|h| h.work.is_some()).collect();
    if !bound.is_empty() {
        watch.violated(format!("permits left: {bound:?}"));
    }
    if watch.running() > 0 {
        watch.violated(format!("{} still run", watch.running()));
    }
    // What a crash may cost: a lease where the caller has custody, an unanswered attempt's deadline
    // where the backend has, and some waiting around either.
    let config = &world.config;
    let slack = Duration::from_secs(1800);
    let patience = match world.custody {
        Custody::Caller => config.lease + slack,
        Custody::Backend => config.unanswered + slack,
    };
    let crashes = world.scenario.crashes.len() as u32;
    if crashes > 0 && time > patience * crashes {
        watch.violated(format!("{crashes} crashes cost {time:?}"));
    }
    world.stands_still();
    world.judge_dead_letters();
    world.judge_refusals();
    let (jobs, invocations) = (world.totals.len() as u64, watch.invocations());
    let reassembly_messages = world.reassembly.sent();
    if world.scenario.is_calm() && world.scenario.halts == 0 {
        if invocations != segments {
            watch.violated(format!("{invocations} invocations for {segments} segments, unharmed"));
        }
        if reassembly_messages != jobs {
            watch.violated(format!("{reassembly_messages} triggers for {jobs} jobs, unharmed"));
        }
    }
    let lives = world.calls.lock().unwrap();
    History {
        violations: watch.violations(),
        replicas: world.replicas,
        jobs,
        failed_jobs,
        segments,
        invocations,
        lives: world.lives(),
        calls: lives.values().map(|faults| faults.calls()).sum(),
        virtual_seconds: time.as_secs(),
        faults: watch.tally.counts(),
        crash_lives,
        trace: watch.lines(),
    }
}
