//! A seeded simulation of the whole pipeline: real loops over faulty ports, on a paused clock.
//!
//! One [`run`] is one history: jobs arrive, processes crash, restart and drain, calls fail or lose
//! their replies, events are late, doubled or lost. After a while the faults stop, and everything
//! must come to an end. Everything random comes from the seed, so a history replays exactly.

mod gpu;
mod link;
mod process;
mod studio;
mod world;

pub use world::{History, Scenario, run};
