//! The protocol's decisions, as functions from what is stored to what is to be stored.
//!
//! No rule reads a clock or does I/O. An adapter gives each rule exactly the rows that its
//! signature names, read under the same transaction (or guarded by the same condition) that stores
//! the answer. Rules that answer without rows to store change nothing.

mod attempts;
mod change;
mod jobs;

pub use attempts::{
    announced_for, complete, complete_and_reserve, fail, hasten, left_behind, record_intent,
    record_invoked, release, renew, reopen, reserve, retry,
};
pub use change::Change;
pub use jobs::{
    advance, lock_reassembly, may_forget, reassembling_until, trigger, triggered,
    unlock_reassembly, uploaded,
};
