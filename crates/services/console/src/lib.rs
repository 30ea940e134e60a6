//! The operator's console: jobs and their segments, permits, queues and dead letters, replicas, and what operators
//! did; and the acts of the command line as buttons.
//!
//! It knows ports only, so that it shows any platform. What it says and does is what the commands say and do: both
//! call `parallax_worker`. Every page is a view: one text and one JSON value, gathered once however many look at
//! it, and not at all while nobody does. An event is always the whole view, so that a browser that lost its
//! connection misses nothing.

mod access;
mod acts;
mod assets;
mod console;
mod deed;
mod events;
mod gather;
mod hub;
mod moment;
mod redact;
mod routes;
mod settings;
mod source;
mod topic;
mod view;
mod views;

pub use console::Console;
pub use settings::{Deployment, NamedQueue, Settings};
