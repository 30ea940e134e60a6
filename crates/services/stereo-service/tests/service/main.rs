//! The fronts over a real executor, spoken to over TCP.

// Helpers fail like the tests that call them.
#![allow(clippy::unwrap_used)]

mod fuzz;
mod hostile;
mod inline;
mod jobs;
mod load;
mod options;
mod parts;
mod sharing;
mod stage;
mod steps;
