//! Fakes that promise no more than the cloud does.
//!
//! The memory ports keep their contracts strictly, which hides bugs in whoever relies on more than
//! a contract says. These give exactly the weak promises: [`WeakQueue`] those of a standard SQS
//! queue, [`WeakEvents`] those of the object store's and the topic's notifications. They misbehave
//! by seed and count what they did; [`crate::fault`] adds the failures of calls.

mod events;
mod queue;

pub use events::{EventWeakness, WeakEvents};
pub use queue::{QueueWeakness, WeakQueue};
