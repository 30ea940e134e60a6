//! What operators do: see why a job waits, and set going again what was set aside.

mod dead_letters;
mod explain;
mod handle;
mod redrive;
mod release;
mod reopen;
mod retry_now;
mod step;

pub use explain::{Explanation, SegmentExplanation, explain};
pub use handle::Operator;
pub use redrive::{Redrive, redrive};
pub use release::{Release, Released, release};
pub use retry_now::retry_now;
pub use step::{Done, Step};
