//! Every port in memory: for tests, simulations and as the readable statement of each contract.

mod ledger;
mod media;
mod objects;
mod queue;
mod records;

pub use ledger::MemoryLedger;
pub use media::MemoryMedia;
pub use objects::MemoryObjects;
pub use queue::MemoryQueue;
pub use records::MemoryRecords;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks state that stays consistent even if a holder panicked: every change is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
