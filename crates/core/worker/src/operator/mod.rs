//! What operators do: hand films in and see what became of them, see why a job waits, set going again what
//! was set aside, and end what is not wanted.

mod dead_letters;
mod end;
mod explain;
mod handle;
mod list;
mod redrive;
mod release;
mod reopen;
mod retry_now;
mod step;
mod submit;
mod switch;

pub use end::{Delete, cancel, delete};
pub use explain::{Explanation, SegmentExplanation, explain};
pub use handle::Operator;
pub use list::{Listed, list};
pub use redrive::{Redrive, redrive};
pub use release::{Release, Released, release};
pub use retry_now::retry_now;
pub use step::{Done, Step};
pub use submit::{Submit, begin_submit, check_submit, upload};
pub use switch::switch;
