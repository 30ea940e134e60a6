//! A seeded simulation of the whole pipeline: real loops over weak and faulty ports, on a paused
//! clock.
//!
//! One [`run`] is one history: jobs arrive, processes crash, restart, stand still and drain, calls
//! fail or lose their replies, services are out, queues and events do what they may, the backend
//! does worse. After a while the faults stop, and everything must come to an end. Everything random
//! comes from the seed, so a history replays exactly.

mod bugs;
mod endpoint;
mod history;
mod process;
mod scenario;
mod server;
mod studio;
mod verdict;
mod watch;
mod world;

pub use history::{History, Totals, run};
pub use scenario::{Crash, Scenario, Shape};
