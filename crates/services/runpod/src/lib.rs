//! RunPod's serverless protocol: a worker that takes jobs from the platform, and the platform's
//! client API for development on one machine.
//!
//! The crate knows nothing of what a job does: that is the [`Handler`]. The same handler stands
//! behind [`Worker`] and behind [`dev::router`]. The protocol is the one that version 1.12.0 of
//! the platform's own library speaks, recorded in `tests/transcripts`.

mod body;
pub mod dev;
mod execute;
mod handler;
mod job;
mod progress;
mod settings;
mod settings_error;
mod template;
mod worker;

pub use handler::{Handler, JobContext, JobError, Output, Parts, Reply};
pub use job::Job;
pub use settings::Settings;
pub use settings_error::SettingsError;
pub use template::Template;
pub use worker::{Ended, Modifier, Options, Reason, Timing, Worker, report_unhealthy};

/// The version of the platform's library whose protocol is spoken; the platform is told it.
pub const PROTOCOL_VERSION: &str = "1.12.0";
