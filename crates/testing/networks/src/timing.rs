//! Benches that print one line per case: name TAB milliseconds TAB processor milliseconds of all threads, the
//! best of a few each. Other load disturbs the second far less.

use std::time::Instant;

use candle_core::{Result, Tensor};

const REPEATS: usize = 3;

/// A case's name, and what times it.
pub type Case = (&'static str, fn(&str) -> Result<()>);

/// Times `run` and prints the line of `name`.
///
/// # Errors
/// Those of `run`.
pub fn time(name: &str, mut run: impl FnMut() -> Result<Tensor>) -> Result<()> {
    let (mut best, mut best_of_processor) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..REPEATS {
        let (start, before) = (Instant::now(), processor_seconds());
        run()?;
        best = best.min(start.elapsed().as_secs_f64());
        best_of_processor = best_of_processor.min(processor_seconds() - before);
    }
    println!("{name}\t{:.2}\t{:.2}", best * 1e3, best_of_processor * 1e3);
    Ok(())
}

/// What the threads that live have had of the processor, by Linux's accounts; 0 elsewhere.
fn processor_seconds() -> f64 {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return 0.0 };
    let nanoseconds = threads.flatten().filter_map(|thread| {
        let accounts = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        accounts.split_whitespace().next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e9
}

/// Runs the `cases` whose names have one of the process's arguments in them; all without arguments.
///
/// # Errors
/// Those of the first case that fails.
pub fn run_cases(cases: &[Case]) -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    for (name, run) in cases {
        if wanted.is_empty() || wanted.iter().any(|w| name.contains(w.as_str())) {
            run(name)?;
        }
    }
    Ok(())
}
