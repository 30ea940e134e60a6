//! The invariants of the protocol, over many seeded histories.
//!
//! `SIM_SEEDS=N` runs more seeds, `SIM_SEED=S` replays one and prints everything that happened.

#![allow(clippy::unwrap_used, unreachable_pub)]

mod sim;

use parallax_ports::Custody;
use parallax_worker::Mutant;
use rayon::prelude::*;
use sim::{History, Scenario, run};

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text:?}: expected a number")))
}

fn report(seed: u64, history: &History) -> String {
    format!("seed {seed} (replay with SIM_SEED={seed}): {:#?}", history.violations)
}

#[test]
fn no_history_with_faults_loses_repeats_or_strands_anything() {
    if let Some(seed) = number("SIM_SEED") {
        let history = run(&Scenario::troubled(seed));
        history.trace.iter().for_each(|line| println!("{line}"));
        assert!(history.violations.is_empty(), "{}", report(seed, &history));
        return;
    }
    let seeds = number("SIM_SEEDS").unwrap_or(2000);
    let bad: Vec<String> = (0..seeds)
        .into_par_iter()
        .map(|seed| (seed, run(&Scenario::troubled(seed))))
        .filter(|(_, history)| !history.violations.is_empty())
        .map(|(seed, history)| report(seed, &history))
        .collect();
    assert!(
        bad.is_empty(),
        "{} of {seeds} histories:\n{}",
        bad.len(),
        bad[..bad.len().min(10)].join("\n")
    );
}

#[test]
fn without_faults_every_segment_is_invoked_once_and_every_job_triggered_once() {
    (0..200u64).into_par_iter().for_each(|seed| {
        let history = run(&Scenario::calm(seed));
        assert!(history.violations.is_empty(), "{}", report(seed, &history));
        assert_eq!(history.invocations, history.segments, "seed {seed}");
        assert_eq!(history.reassembly_messages, history.jobs, "seed {seed}");
        assert_eq!(history.failed_jobs, 0, "seed {seed}");
    });
}

#[test]
fn a_seed_replays_the_same_history() {
    for seed in 0..20 {
        let (first, second) = (run(&Scenario::troubled(seed)), run(&Scenario::troubled(seed)));
        assert_eq!(first.trace, second.trace, "seed {seed}");
    }
}

#[test]
fn a_crash_at_any_single_call_is_survived() {
    for custody in [Custody::Caller, Custody::Backend] {
        let scenario =
            |crash| Scenario { shape: Some((custody, 1, 1)), crash, ..Scenario::calm(7) };
        // The crash never comes: this counts the calls of an undisturbed life.
        let calls = run(&scenario(Some((u64::MAX, false)))).calls;
        let last = calls.iter().rposition(|c| *c == "assembler.assemble").unwrap() as u64 + 20;
        assert!(last > 60, "{last} calls are too few to mean anything");
        (0..last.min(calls.len() as u64)).into_par_iter().for_each(|at| {
            for after in [false, true] {
                let history = run(&scenario(Some((at, after))));
                let name = calls[at as usize];
                assert!(
                    history.violations.is_empty(),
                    "{custody:?}: crash at call {at} ({name}), after its effect: {after}: {:#?}",
                    history.violations
                );
                assert_eq!(history.failed_jobs, 0, "crash at call {at} ({name})");
            }
        });
    }
}

#[test]
fn every_deliberate_bug_is_caught() {
    let bugs = [
        (Mutant::RepeatAmbiguousInvoke, Custody::Backend),
        (Mutant::ReleaseAmbiguousInvoke, Custody::Backend),
        (Mutant::ConfirmBeforeSend, Custody::Caller),
        (Mutant::TrustFinished, Custody::Caller),
        (Mutant::NoReconcile, Custody::Backend),
        (Mutant::TakeOverOpenIntent, Custody::Caller),
    ];
    for (mutant, custody) in bugs {
        let scenario = |seed| Scenario {
            mutant: Some(mutant),
            shape: Some((custody, 2, 2)),
            ..Scenario::troubled(seed)
        };
        let caught = (0..500u64)
            .into_par_iter()
            .find_any(|seed| !run(&scenario(*seed)).violations.is_empty());
        assert!(caught.is_some(), "{mutant:?} was not caught in 500 histories");
    }
}
