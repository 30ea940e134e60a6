//! Replicas that are killed and frozen while jobs run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use parallax_job::JobId;
use parallax_ports::{Ledger, Queue};
use parallax_tests::cloud::{Cloud, Cut, Endpoint, EventFaults, Order};
use parallax_tests::{Running, completions_told, number, seed};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{DRAIN, EMPTY, Guard, check_job, cut, over, standing};

const REPLICAS: usize = 3;
const LIMIT: usize = 6;

/// Replicas that are killed and started again, or stand still and go on.
struct Fleet<'a> {
    cloud: &'a Cloud,
    endpoint: &'a Endpoint,
    running: Vec<Running>,
    /// Whoever stands still, and until when.
    frozen: BTreeMap<usize, Instant>,
    /// What the dead said they completed.
    told: Vec<(String, u64)>,
    kills: u32,
    /// Starts that gave up because moto was too busy to answer in time.
    hasty: u32,
}

impl<'a> Fleet<'a> {
    fn start(cloud: &'a Cloud, endpoint: &'a Endpoint) -> Self {
        let mut fleet = Self {
            cloud,
            endpoint,
            running: Vec::new(),
            frozen: BTreeMap::new(),
            told: Vec::new(),
            kills: 0,
            hasty: 0,
        };
        fleet.running = (0..REPLICAS).map(|_| fleet.replica()).collect();
        fleet
    }

    fn replica(&self) -> Running {
        let mut command = self.cloud.worker_of(self.endpoint);
        command.env("INFERENCE_MAX_IN_FLIGHT", LIMIT.to_string());
        command.env("PACE", "quick").env("SQS_LONG_POLL_WAIT_SECONDS", "1");
        command.env("LEASE_SECONDS", "5").env("SAGEMAKER_INVOKE_TIMEOUT_SECONDS", "5");
        Running::start(&mut command)
    }

    /// Starts anew whom the start's time limit ended, as a platform does. No other end is right.
    fn revive(&mut self) {
        for place in 0..self.running.len() {
            if self.running[place].has_ended() {
                let (_, log) = self.running[place].said();
                assert!(log.contains("is it reachable?"), "ended by itself: {log}");
                self.running[place] = self.replica();
                self.hasty += 1;
            }
        }
    }

    /// Stops a replica in the middle of whatever it does, as a machine that is suspended.
    fn freeze(&mut self, victim: usize, time: Duration) {
        self.revive();
        self.running[victim].signal(Signal::SIGSTOP);
        self.frozen.insert(victim, Instant::now() + time);
    }

    /// Lets those go on who stood still for long enough.
    fn thaw(&mut self) {
        let running = &self.running;
        self.frozen.retain(|place, until| {
            let still = Instant::now() < *until;
            if !still {
                running[*place].signal(Signal::SIGCONT);
            }
            still
        });
    }

    /// One that does not stand still.
    fn awake(&self, dice: &mut StdRng) -> usize {
        let awake: Vec<_> = (0..REPLICAS).filter(|n| !self.frozen.contains_key(n)).collect();
        awake[dice.random_range(0..awake.len())]
    }

    fn kill(&mut self, victim: usize) {
        self.revive();
        let fresh = self.replica();
        let dead = std::mem::replace(&mut self.running[victim], fresh);
        dead.signal(Signal::SIGKILL);
        self.told.extend(completions_told(&dead.wait().stderr));
        self.kills += 1;
    }

    /// Stops every replica, and answers what all of them said they completed.
    fn stop(&mut self) -> Vec<(String, u64)> {
        self.revive();
        for replica in &self.running {
            replica.signal(Signal::SIGTERM);
        }
        for replica in std::mem::take(&mut self.running) {
            let ended = replica.wait_at_most(DRAIN);
            assert_eq!(ended.code, Some(0), "{ended:?}");
            self.told.extend(completions_told(&ended.stderr));
        }
        std::mem::take(&mut self.told)
    }
}

/// Faults of the emulated endpoint: how often each happens.
const ENDPOINT_FAULTS: [(&str, &str); 10] = [
    ("--throttle", "0.1"),
    ("--unavailable", "0.03"),
    ("--broken-reply", "0.02"),
    ("--lost-reply", "0.02"),
    ("--drop", "0.01"),
    ("--fail", "0.04"),
    ("--hollow", "0.01"),
    ("--silent", "0.02"),
    ("--duplicate", "0.1"),
    ("--delay-ms", "2000"),
];

/// What a soak does.
struct Soak {
    kills: u32,
    segments: u32,
    freezes: u32,
    /// How long a frozen replica stands still.
    still: Duration,
}

impl Soak {
    fn asked_for() -> Self {
        // Longer than a lease, so that others take over what a frozen replica had begun.
        let still = Duration::from_secs(number("SOAK_FREEZE_SECONDS", 8).into());
        Self {
            kills: number("SOAK_KILLS", 20),
            segments: number("SOAK_SEGMENTS", 4),
            freezes: number("SOAK_FREEZES", 1),
            still,
        }
    }

    /// Kills, freezes and revives replicas while jobs arrive, until every job is over.
    async fn run(&self, course: &mut Course<'_>, dice: &mut StdRng) {
        let limit =
            Duration::from_secs(300 + 10 * u64::from(self.kills)) + self.still * self.freezes;
        let (guard, mut submitted) = (Guard::new(limit), 0);
        let Course { cloud, endpoint, cuts, .. } = *course;
        loop {
            // Jobs arrive all through the kills.
            while submitted < cuts.len()
                && course.fleet.kills as usize * cuts.len() >= submitted * self.kills as usize
            {
                let first = dice.random_bool(0.5);
                let order = if first { Order::TotalFirst } else { Order::SegmentsFirst };
                cloud.submit(&cuts[submitted], order).await;
                submitted += 1;
            }
            self.disturb(course, dice).await;
            course.reassemble(dice).await;
            let fleet = &course.fleet;
            let all = submitted == cuts.len()
                && (fleet.kills, course.frozen) == (self.kills, self.freezes);
            if all && fleet.frozen.is_empty() && over(cloud, endpoint, cuts).await {
                break;
            }
            if guard.began.elapsed() > guard.limit {
                let stands = standing(cloud, endpoint, cuts).await;
                guard.check(|| stands);
            }
        }
        course.took = guard.began.elapsed();
    }

    /// One replica is killed, and now and then one stands still.
    async fn disturb(&self, course: &mut Course<'_>, dice: &mut StdRng) {
        let (fleet, kills, freezes) = (&mut course.fleet, self.kills, self.freezes);
        if fleet.kills < kills {
            let wait = Duration::from_millis(dice.random_range(0..2000));
            tokio::time::sleep(wait).await;
            fleet.kill(fleet.awake(dice));
        } else {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        fleet.thaw();
        // All through the kills, too, one replica at least going on.
        if course.frozen < freezes
            && fleet.frozen.len() + 1 < REPLICAS
            && fleet.kills * freezes >= course.frozen * kills
        {
            fleet.freeze(fleet.awake(dice), self.still);
            course.frozen += 1;
        }
        fleet.revive();
    }
}

/// A soak's course.
struct Course<'a> {
    cloud: &'a Cloud,
    endpoint: &'a Endpoint,
    cuts: &'a [Cut],
    fleet: Fleet<'a>,
    frozen: u32,
    /// Jobs that a reassembly message came for, and those that one had an effect for.
    told: Vec<JobId>,
    effective: Vec<JobId>,
    took: Duration,
}

impl Course<'_> {
    /// Plays the reassembler, to whom messages come more than once.
    async fn reassemble(&mut self, dice: &mut StdRng) {
        let (messages, done) = self.cloud.reassemble().await;
        for job_id in &messages {
            if dice.random_bool(0.8) {
                self.cloud.repeat_reassembly(job_id).await;
            }
        }
        self.told.extend(messages);
        self.effective.extend(done);
    }

    /// Every job is over as it should be; those that failed, with the reason.
    async fn check_jobs(&mut self) -> BTreeMap<JobId, String> {
        let mut failed = BTreeMap::new();
        for cut in self.cuts {
            let job = check_job(self.cloud, cut).await;
            if let Some(reason) = job.reason {
                failed.insert(cut.job_id.clone(), reason);
            }
        }
        // Effective once for each completed job, whatever was sent.
        self.effective.sort();
        let completed = self.cuts.iter().map(|cut| &cut.job_id);
        let mut completed: Vec<JobId> =
            completed.filter(|id| !failed.contains_key(*id)).cloned().collect();
        completed.sort();
        assert_eq!(self.effective, completed, "one effective reassembly message for each job");
        let told = &self.told;
        assert!(told.iter().all(|id| completed.contains(id)), "none for a failed job: {told:?}");
        failed
    }
}

/// Nothing is left in any queue but dead letters, each with its reason; their number.
async fn check_queues(cloud: &Cloud) -> usize {
    let mut buried = Vec::new();
    for (name, urls) in cloud.queues.all() {
        if name != "chunking" {
            assert_eq!(cloud.depth(&urls.queue).await, EMPTY, "{name}: nothing left or hidden");
        }
        for dead in cloud.take_all(&urls.dead_letters).await {
            assert!(dead.reason.is_some(), "{name}: a dead letter without a reason: {dead:?}");
            buried.push(dead.body);
        }
    }
    let nonsense: BTreeSet<&str> = buried.iter().map(String::as_str).collect();
    assert_eq!(nonsense.len(), 2, "only what made no sense is put aside: {buried:?}");
    buried.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_replicas_lose_nothing_and_never_exceed_the_limit() {
    let (soak, jobs, seed) = (Soak::asked_for(), number("SOAK_JOBS", 6), seed());
    let mut dice = StdRng::seed_from_u64(seed);
    let events = EventFaults { seed, lose: 0.05, repeat: 0.1, late: 0.1 };
    let cloud = Cloud::start(events, Cloud::endpoint_pool()).await;
    let emulated = seed.to_string();
    let faults = [&[("--seed", emulated.as_str())], &ENDPOINT_FAULTS[..]].concat();
    let endpoint = cloud.endpoint(LIMIT, Duration::ZERO, &faults);
    let mut cuts: Vec<Cut> =
        (0..jobs as usize).map(|n| cut(format!("job-{n}"), n, soak.segments)).collect();
    // One job that no attempt can save.
    let doomed = dice.random_range(0..cuts.len());
    cuts[doomed].unreadable = true;
    let segments_queue = cloud.queue(&cloud.queues.video_worker.queue);
    for nonsense in ["[1, 2", "{\"Records\": [{\"s3\": 7}]}"] {
        segments_queue.send(nonsense, &[]).await.unwrap();
    }
    let mut course = Course {
        cloud: &cloud,
        endpoint: &endpoint,
        cuts: &cuts,
        fleet: Fleet::start(&cloud, &endpoint),
        frozen: 0,
        told: Vec::new(),
        effective: Vec::new(),
        took: Duration::ZERO,
    };
    soak.run(&mut course, &mut dice).await;
    let hasty = course.fleet.hasty;
    let said = course.fleet.stop();
    let once: BTreeSet<&(String, u64)> = said.iter().collect();
    assert_eq!(said.len(), once.len(), "a completion was recorded twice");
    let failed = course.check_jobs().await;
    assert!(failed.contains_key(&cuts[doomed].job_id), "{failed:?}");

    let stats = endpoint.stats();
    assert!(stats.max_in_flight <= LIMIT as u64, "over the limit of {LIMIT}: {stats:?}");
    assert!(stats.repeated.is_empty(), "an attempt was invoked twice: {stats:?}");
    assert_eq!(cloud.ledger.holders().await.unwrap(), [], "no permit is left");
    let buried = check_queues(&cloud).await;
    println!(
        "soak: {} kills of {REPLICAS} replicas, {} that stood still for {:?}, in {:.0} s; {jobs} \
         jobs x {} segments: {} completed, {} failed with a reason; {} reassembly messages, {} \
         effective; {buried} dead letters, each with a reason; 0 permits, 0 messages left or hidden",
        soak.kills,
        course.frozen,
        soak.still,
        course.took.as_secs_f64(),
        soak.segments,
        course.effective.len(),
        failed.len(),
        course.told.len(),
        course.effective.len(),
    );
    println!("endpoint, limit {LIMIT}: {stats:?}");
    println!("bucket events: {:?}", cloud.moto.events());
    println!("starts that moto was too slow for: {hasty}");
    println!("failed: {failed:?}");
}
