//! The loops of the pipeline over its ports.
//!
//! Every loop is level-triggered: an event only says "look now", and what is done is decided from
//! the ledger and the objects. So events may be lost, repeated and reordered, a process may stop
//! at any await, and replicas may share every queue. `ARCHITECTURE.md` has the state diagram.

mod attempts;
mod breaker;
mod chunking;
mod clocks;
mod config;
mod consumer;
mod context;
mod delays;
mod evidence;
mod heartbeat;
mod inbox;
mod inference;
mod jobs;
mod mailbox;
mod metrics;
mod mutant;
#[cfg(feature = "mutants")]
mod mutations;
mod operator;
mod outcome;
mod output_events;
mod permits;
mod pipeline;
mod ports;
mod pulse;
mod reassembly;
mod recent;
mod reconcile;
mod retry;
mod roles;
mod segments;
mod standing;
mod stop;
mod supervise;
mod switchboard;
mod trigger;
mod triggers;
mod verdicts;

pub use config::{Config, ConfigError};
pub use inbox::Inbox;
pub use metrics::METRICS;
pub use mutant::Mutant;
pub use operator::{
    Delete, Done, Explanation, Listed, Operator, Redrive, Release, Released, SegmentExplanation,
    Step, Submit, begin_submit, cancel, check_submit, delete, explain, list, redrive, release,
    retry_now, switch, upload,
};
pub use pipeline::Pipeline;
pub use ports::Ports;
pub use roles::{Role, RoleError, Roles};
pub use stop::Stop;
pub use supervise::{RunError, run};
