//! What a run may be told by variables.

use rand::Rng;
use rand::rngs::StdRng;

/// The run's seed: `PARALLAX_TEST_SEED`, or a new one. Printed, so that a run can be repeated.
pub fn seed() -> u64 {
    let seed = match std::env::var("PARALLAX_TEST_SEED") {
        Ok(seed) => seed.parse().expect("PARALLAX_TEST_SEED is a number"),
        Err(_) => rand::make_rng::<StdRng>().next_u64() >> 1,
    };
    println!("PARALLAX_TEST_SEED={seed}");
    seed
}

/// A number from a variable, or the ordinary one.
pub fn number(variable: &str, ordinary: u32) -> u32 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text}: a number")),
        Err(_) => ordinary,
    }
}
