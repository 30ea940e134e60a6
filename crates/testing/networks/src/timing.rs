//! Benches that print one line per case: name TAB milliseconds, the best of a few.

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
    let mut best = f64::INFINITY;
    for _ in 0..REPEATS {
        let start = Instant::now();
        run()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("{name}\t{:.2}", best * 1e3);
    Ok(())
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
