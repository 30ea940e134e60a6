//! `parallax convert`: a film as one job through the worker's own loops, over the embedded adapters; a
//! picture through its engine; or all that is in a folder, one after the other.
//!
//! The command is a worker with every role, one queue database and one job. What it adds is what
//! a person expects: checks before anything is made, progress, one clear error, and a state folder
//! from which an interrupted conversion continues.

mod alarm;
pub(crate) mod ending;
mod film;
pub(crate) mod folder;
mod leash;
mod manifest;
mod mended;
mod model;
pub(crate) mod name;
pub(crate) mod network;
mod one;
pub(crate) mod options;
pub(crate) mod part;
mod pieces;
mod pipeline;
pub(crate) mod progress;
pub(crate) mod refused;
mod request;
mod retries;
mod room;
mod source;
pub(crate) mod staging;
mod state;
mod still;
mod stream_report;
mod streams;
pub(crate) mod without;

use std::process::ExitCode;

use crate::cli::ConvertArgs;

pub(crate) fn main(args: ConvertArgs) -> ExitCode {
    if args.stop_with_parent {
        leash::stop_with_parent();
    }
    if args.input.is_dir() { folder::main(args) } else { one::main(&args) }
}
