//! Daemons of the previous release and of this one share queues and tables, and either may be the last.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use parallax_job::{JobId, JobStatus};
use parallax_ports::Depth;
use parallax_ports::Ledger;
use parallax_tests::cloud::{Cloud, Cut, Endpoint, EventFaults, Order};
use parallax_tests::{Running, completions_told, instead, number};

use super::{DRAIN, EMPTY, Guard, check_job, cut, over, standing};

const LIMIT: usize = 4;
const SEGMENTS: u32 = 3;

/// Which program a replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Release {
    Previous,
    This,
}

/// Who runs, in turn: forward, and all the way back.
const PHASES: [[Release; 2]; 5] = {
    use Release::{Previous, This};
    [[Previous, Previous], [Previous, This], [This, This], [This, Previous], [Previous, Previous]]
};

/// The program of the release before this one: `UPGRADE_FROM`, or this one where nobody has it, so that
/// at least the course is known to hold.
fn previous() -> Option<PathBuf> {
    std::env::var_os("UPGRADE_FROM").map(PathBuf::from)
}

struct Upgrade<'a> {
    cloud: &'a Cloud,
    endpoint: &'a Endpoint,
    running: Vec<(Release, Running)>,
    /// What those who ended said they completed.
    told: Vec<(String, u64)>,
    /// Jobs whose reassembly message had an effect.
    joined: Vec<JobId>,
}

impl Upgrade<'_> {
    fn replica(&self, release: Release) -> Running {
        let mut command = self.cloud.worker_of(self.endpoint);
        command.env("INFERENCE_MAX_IN_FLIGHT", LIMIT.to_string());
        command.env("PACE", "quick").env("SQS_LONG_POLL_WAIT_SECONDS", "1");
        command.env("LEASE_SECONDS", "5").env("SAGEMAKER_INVOKE_TIMEOUT_SECONDS", "5");
        let mut command: Command = match (release, previous()) {
            (Release::Previous, Some(program)) => instead(&program, &command),
            _ => command,
        };
        Running::start(&mut command)
    }

    /// Brings the fleet to what a phase says. Of those that go every other one is killed, which leaves
    /// attempts for whoever comes after it.
    fn become_as(&mut self, phase: [Release; 2], kill: bool) {
        let old = std::mem::take(&mut self.running);
        let mut kept = Vec::new();
        let mut wanted = phase.to_vec();
        for (release, replica) in old {
            match wanted.iter().position(|wanted| *wanted == release) {
                Some(place) => {
                    wanted.remove(place);
                    kept.push((release, replica));
                }
                None => self.end(replica, kill),
            }
        }
        kept.extend(wanted.into_iter().map(|release| (release, self.replica(release))));
        self.running = kept;
    }

    fn end(&mut self, replica: Running, kill: bool) {
        replica.signal(if kill { Signal::SIGKILL } else { Signal::SIGTERM });
        let ended = replica.wait_at_most(DRAIN);
        assert!(kill || ended.code == Some(0), "{ended:?}");
        self.told.extend(completions_told(&ended.stderr));
    }

    /// Starts anew whom the start's time limit ended, as a platform does. No other end is right.
    fn revive(&mut self) {
        for place in 0..self.running.len() {
            if self.running[place].1.has_ended() {
                let (release, log) = (self.running[place].0, self.running[place].1.said().1);
                assert!(log.contains("is it reachable?"), "{release:?} ended by itself: {log}");
                self.running[place].1 = self.replica(release);
            }
        }
    }

    async fn look(&mut self) {
        self.revive();
        self.joined.extend(self.cloud.reassemble().await.1);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    /// How many of `cuts` are over.
    async fn ended(&self, cuts: &[Cut]) -> usize {
        let mut ended = 0;
        for cut in cuts {
            ended += usize::from(self.cloud.job(&cut.job_id).await.status.is_terminal());
        }
        ended
    }

    /// Every phase begins with jobs of the phase before it half done, and ends so; the last ends them all.
    async fn run(&mut self, cuts: &[Cut], guard: &Guard) {
        let each = cuts.len().div_ceil(PHASES.len());
        let mut submitted = 0;
        for (number, phase) in PHASES.into_iter().enumerate() {
            self.become_as(phase, number % 2 == 0);
            let until = (submitted + each).min(cuts.len());
            for cut in &cuts[submitted..until] {
                self.cloud.submit(cut, Order::TotalFirst).await;
            }
            // Whoever runs now has to complete something.
            let before = self.ended(&cuts[..submitted]).await;
            submitted = until;
            while self.ended(&cuts[..submitted]).await < (before + each.div_ceil(2)).min(submitted)
            {
                self.look().await;
                self.stop_in_time(cuts, guard).await;
            }
        }
        while !over(self.cloud, self.endpoint, cuts).await {
            self.look().await;
            self.stop_in_time(cuts, guard).await;
        }
    }

    async fn stop_in_time(&self, cuts: &[Cut], guard: &Guard) {
        if guard.began.elapsed() > guard.limit {
            let stands = standing(self.cloud, self.endpoint, cuts).await;
            guard.check(|| stands);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_previous_release_and_this_one_share_a_ledger_forward_and_back() {
    let jobs = number("UPGRADE_JOBS", 5);
    let cloud = Cloud::start(EventFaults::default(), Cloud::endpoint_pool()).await;
    let endpoint = cloud.endpoint(LIMIT, Duration::ZERO, &[("--delay-ms", "300")]);
    let cuts: Vec<Cut> = (0..jobs as usize).map(|n| cut(format!("job-{n}"), n, SEGMENTS)).collect();
    let mut upgrade = Upgrade {
        cloud: &cloud,
        endpoint: &endpoint,
        running: Vec::new(),
        told: Vec::new(),
        joined: Vec::new(),
    };
    let guard = Guard::new(Duration::from_secs(240 + 6 * u64::from(jobs)));
    upgrade.run(&cuts, &guard).await;
    for (_, replica) in std::mem::take(&mut upgrade.running) {
        upgrade.end(replica, false);
    }

    for cut in &cuts {
        assert_eq!(check_job(&cloud, cut).await.status, JobStatus::Completed);
    }
    let once: BTreeSet<&(String, u64)> = upgrade.told.iter().collect();
    assert_eq!(upgrade.told.len(), once.len(), "a completion was recorded twice");
    upgrade.joined.sort();
    let mut all: Vec<JobId> = cuts.iter().map(|cut| cut.job_id.clone()).collect();
    all.sort();
    assert_eq!(upgrade.joined, all, "one effective reassembly message for each job");
    let stats = endpoint.stats();
    assert!(stats.max_in_flight <= LIMIT as u64, "over the limit of {LIMIT}: {stats:?}");
    assert!(stats.repeated.is_empty(), "an attempt was invoked twice: {stats:?}");
    assert_eq!(cloud.ledger.holders().await.unwrap(), [], "no permit is left");
    for (name, urls) in cloud.queues.all() {
        let dead: Depth = cloud.depth(&urls.dead_letters).await;
        assert_eq!(dead, EMPTY, "{name}: nobody met what he could not read");
    }
    match previous() {
        Some(program) => println!("upgrade: {jobs} jobs with {}: {stats:?}", program.display()),
        None => {
            println!("upgrade: {jobs} jobs, and UPGRADE_FROM names no earlier release: {stats:?}")
        }
    }
}
