//! What a program is besides its work: its allocator, its signals, its version, and how it ends.

mod pool;
mod rotation;
mod run;
mod signals;
mod version;

pub use pool::share_pool;
pub use rotation::Hangup;
pub use run::{end, run};
pub use signals::Termination;
pub use version::{COMMIT, log_version, version};
