//! What tests and benches of networks share.
#![allow(clippy::unwrap_used)]

mod close;
mod random;
mod timing;

pub use close::{assert_close, assert_parity};
pub use random::{random, random_weights};
pub use timing::{Case, run_cases, time};
