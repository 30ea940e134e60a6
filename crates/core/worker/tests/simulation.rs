//! The invariants of the protocol, over many seeded histories.
//!
//! `SIM_SEEDS=N` runs more seeds, `SIM_SEED=S` replays one and prints everything that happened.

#![allow(clippy::unwrap_used, unreachable_pub)]

mod sim;

use std::time::Duration;

use parallax_ports::Custody;
use parallax_worker::Mutant;
use rayon::prelude::*;
use sim::{Crash, History, Scenario, Shape, Totals, run};

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text:?}: expected a number")))
}

/// Runs every scenario, prints what happened in all of them, and fails if anything was violated.
fn hold(title: &str, scenarios: impl ParallelIterator<Item = Scenario>) -> Totals {
    let one = |scenario: Scenario| {
        let history = run(&scenario);
        let text = || format!("{scenario:?}: {:#?}", history.violations);
        let bad = if history.violations.is_empty() { Vec::new() } else { vec![text()] };
        (Totals::default().add(&history), bad)
    };
    let none = || (Totals::default(), Vec::new());
    let (totals, bad) = scenarios.map(one).reduce(none, |a, b| (a.0.and(b.0), [a.1, b.1].concat()));
    totals.print(title);
    let shown = bad[..bad.len().min(20)].join("\n");
    assert!(bad.is_empty(), "{} of {} histories:\n{shown}", bad.len(), totals.histories);
    totals
}

#[test]
fn no_history_with_faults_loses_repeats_or_strands_anything() {
    if let Some(seed) = number("SIM_SEED") {
        let history = run(&Scenario { traced: true, ..Scenario::troubled(seed) });
        history.trace.iter().for_each(|line| println!("{line}"));
        let history = History { trace: Vec::new(), ..history };
        println!("{history:#?}");
        assert!(history.violations.is_empty());
        return;
    }
    let seeds = number("SIM_SEEDS").unwrap_or(10_000);
    hold("with faults", (0..seeds).into_par_iter().map(Scenario::troubled));
}

#[test]
fn without_faults_every_segment_is_invoked_once_and_every_job_triggered_once() {
    let totals = hold("without faults", (0..200).into_par_iter().map(Scenario::calm));
    assert_eq!(totals.failed_jobs, 0);
}

#[test]
fn a_drain_leaves_nothing_in_anybodys_hands() {
    let drained = |seed| Scenario { halts: 3, ..Scenario::calm(seed) };
    hold("drained three times", (0..200).into_par_iter().map(drained));
}

/// Histories in which nothing goes wrong but that the queues do not let a message be hidden.
fn silent(seed: u64) -> Scenario {
    Scenario { silences: 12, ..Scenario::calm(seed) }
}

#[test]
fn a_queue_that_does_not_answer_cancels_no_work_that_the_ledger_grants() {
    let totals = hold("hiding is never answered", (0..200).into_par_iter().map(silent));
    assert!(totals.faults.contains_key("call never answered"));
    assert_eq!(totals.failed_jobs, 0);
}

/// Histories in which nothing goes wrong but that the backend refuses all work for minutes, at queues
/// that move away what was delivered five times.
fn refusing(seed: u64) -> Scenario {
    Scenario { refusals: 4, ..Scenario::calm(seed) }
}

#[test]
fn refusals_use_up_no_deliveries_of_live_work() {
    let totals = hold("the backend refuses", (0..400).into_par_iter().map(refusing));
    let refused = ["refused: throttled", "refused: unavailable"];
    assert!(refused.iter().all(|what| totals.faults.get(what).is_some_and(|n| *n > 100)));
    assert_eq!(totals.failed_jobs, 0);
}

/// The same with a ledger or a store that refuses everything, or is silent.
fn serviceless(seed: u64) -> Scenario {
    Scenario { service_outages: 4, ..Scenario::calm(seed) }
}

#[test]
fn services_that_are_out_use_up_no_deliveries_of_live_work() {
    let totals = hold("a service is out", (0..400).into_par_iter().map(serviceless));
    let refused = ["refused: throttled", "refused: unavailable", "call never answered"];
    assert!(refused.iter().all(|what| totals.faults.get(what).is_some_and(|n| *n > 100)));
    assert_eq!(totals.failed_jobs, 0);
}

/// Histories in which nothing goes wrong but that every job is cut anew.
fn recut(seed: u64) -> Scenario {
    Scenario { recuts: true, ..Scenario::calm(seed) }
}

#[test]
fn results_of_two_cuts_never_meet_in_a_film() {
    let totals = hold("cut anew", (0..400).into_par_iter().map(recut));
    assert!(totals.faults.get("job cut anew").is_some_and(|count| *count > 200));
    assert_eq!(totals.failed_jobs, 0);
}

#[test]
fn a_seed_replays_the_same_history() {
    (0..20u64).into_par_iter().for_each(|seed| {
        let scenario = Scenario { traced: true, ..Scenario::troubled(seed) };
        let (first, second) = (run(&scenario), run(&scenario));
        assert!(!first.trace.is_empty());
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.faults, second.faults, "seed {seed}");
    });
}

/// One job on one or two replicas, with crashes at given calls and nothing else.
fn crashing(custody: Custody, replicas: u64, segments: u32, crashes: Vec<Crash>) -> Scenario {
    let shape = Shape { custody, replicas, jobs: 1, segments: Some(segments) };
    let longest_run = Duration::from_secs(60);
    Scenario { shape: Some(shape), crashes, longest_run, ..Scenario::calm(7) }
}

/// The port calls of a life that is not disturbed, after these crashes.
fn calls(of: &Scenario, replica: u64, life: u32) -> Vec<&'static str> {
    let mut scenario = of.clone();
    scenario.crashes.push(Crash { replica, life, at: u64::MAX, after: false });
    run(&scenario).crash_lives.remove(&(replica, life)).unwrap_or_default()
}

/// A crash at every call of a life, before and after the call's effect.
fn every_crash(of: &Scenario, replica: u64, life: u32) -> Vec<Crash> {
    let count = calls(of, replica, life).len() as u64;
    let sides = |at| [false, true].map(|after| Crash { replica, life, at, after });
    (0..count).flat_map(sides).collect()
}

#[test]
fn a_crash_at_any_single_call_is_survived() {
    for custody in [Custody::Caller, Custody::Backend] {
        for replicas in [1, 2] {
            let undisturbed = crashing(custody, replicas, 3, Vec::new());
            let crashes = every_crash(&undisturbed, 0, 0);
            assert!(crashes.len() > 150, "{} crash points mean nothing", crashes.len());
            let title = format!("{custody:?}, {replicas} replicas, {} crash points", crashes.len());
            let scenarios =
                crashes.into_par_iter().map(|crash| crashing(custody, replicas, 3, vec![crash]));
            assert_eq!(hold(&title, scenarios).failed_jobs, 0);
        }
    }
}

/// Whether a second crash is tried. A life that waits for an attempt's deadline repeats the same
/// calls for almost two hours: of these only every 64th.
fn is_tried(crash: &Crash) -> bool {
    crash.at < 120 || crash.at.is_multiple_of(64)
}

#[test]
fn two_crashes_at_any_two_calls_are_survived() {
    for custody in [Custody::Caller, Custody::Backend] {
        let firsts = every_crash(&crashing(custody, 1, 2, Vec::new()), 0, 0);
        let pairs: Vec<[Crash; 2]> = firsts
            .into_par_iter()
            .flat_map_iter(|first| {
                let once = crashing(custody, 1, 2, vec![first]);
                every_crash(&once, 0, 1).into_iter().map(move |second| [first, second])
            })
            .collect();
        let all = pairs.len();
        let pairs: Vec<_> = pairs.into_iter().filter(|[_, second]| is_tried(second)).collect();
        let title = format!("{custody:?}, {} of {all} pairs of crash points", pairs.len());
        assert!(pairs.len() > 10_000, "{title}");
        let scenarios = pairs.into_par_iter().map(|pair| crashing(custody, 1, 2, pair.to_vec()));
        assert_eq!(hold(&title, scenarios).failed_jobs, 0);
    }
}

#[test]
fn a_crash_of_each_of_two_replicas_is_survived() {
    for custody in [Custody::Caller, Custody::Backend] {
        let firsts = every_crash(&crashing(custody, 2, 3, Vec::new()), 0, 0);
        let pairs: Vec<[Crash; 2]> = firsts
            .into_par_iter()
            .enumerate()
            .flat_map_iter(|(at, first)| {
                let once = crashing(custody, 2, 3, vec![first]);
                let seconds = every_crash(&once, 1, 0).into_iter().filter(is_tried).enumerate();
                // Every call of either with some of the other's.
                seconds.filter(move |(n, _)| (n + at) % 5 == 0).map(move |(_, s)| [first, s])
            })
            .collect();
        let title = format!("{custody:?}, two replicas, {} pairs of crash points", pairs.len());
        assert!(pairs.len() > 5000, "{title}");
        let scenarios = pairs.into_par_iter().map(|pair| crashing(custody, 2, 3, pair.to_vec()));
        assert_eq!(hold(&title, scenarios).failed_jobs, 0);
    }
}

/// Where a bug shows itself.
fn habitat(mutant: Mutant, seed: u64) -> (&'static str, Scenario) {
    match mutant {
        Mutant::DropOnDrain => ("drained", Scenario { halts: 3, ..Scenario::calm(seed) }),
        Mutant::DeafKeeper => {
            ("ledger out now and then", Scenario { ledger_outages: 12, ..Scenario::troubled(seed) })
        }
        Mutant::TakeAnyCut | Mutant::JoinAnyCut => ("cut anew", recut(seed)),
        Mutant::RenewAfterHiding => ("hiding is never answered", silent(seed)),
        Mutant::NeverRenew | Mutant::IgnoreRefusals => ("the backend refuses", refusing(seed)),
        Mutant::SpendDeliveries => ("a service is out", serviceless(seed)),
        Mutant::TrustTopic | Mutant::TakeAnyAttempt => {
            let told = Scenario { topics: true, ..Scenario::troubled(seed) };
            ("with faults, told by topics", Scenario { trouble: 2.0, ..told })
        }
        Mutant::ForgetPrevious => {
            let mixed = Scenario { mixed: true, ..Scenario::troubled(seed) };
            ("with faults and two releases", Scenario { trouble: 2.0, ..mixed })
        }
        Mutant::LateStart => {
            let short = Scenario { short_leases: true, ..Scenario::troubled(seed) };
            ("with faults and short leases", Scenario { trouble: 2.0, ..short })
        }
        Mutant::TriggerUnclaimed => ("without faults", Scenario::calm(seed)),
        Mutant::IgnoreAbandoned | Mutant::WaitOutUnanswered => {
            let crash = Crash { replica: 0, life: 0, at: seed, after: seed % 2 == 1 };
            ("one crash at a call", crashing(Custody::Backend, 1, 2, vec![crash]))
        }
        Mutant::ConfirmBeforeSend => {
            let crash = Crash { replica: 0, life: 0, at: seed, after: false };
            ("one crash at a call", crashing(Custody::Caller, 1, 2, vec![crash]))
        }
        _ => ("with faults", Scenario { trouble: 2.0, ..Scenario::troubled(seed) }),
    }
}

#[test]
fn every_deliberate_bug_is_caught() {
    let mut survivors = Vec::new();
    for mutant in Mutant::ALL {
        let caught = (0..1000u64).into_par_iter().find_map_first(|seed| {
            let (kind, scenario) = habitat(mutant, seed);
            let history = run(&Scenario { mutant: Some(mutant), ..scenario });
            Some((seed, kind, history.violations.into_iter().next()?))
        });
        match caught {
            Some((seed, kind, why)) => {
                println!("{mutant:?}: seed {seed}, {kind}: {why}");
                let sound = run(&habitat(mutant, seed).1);
                assert!(sound.violations.is_empty(), "without {mutant:?}: {:#?}", sound.violations);
            }
            None => survivors.push(mutant),
        }
    }
    assert!(survivors.is_empty(), "not caught: {survivors:?}");
}
