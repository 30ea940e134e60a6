//! `parallax weights`: bring the models here, and tell whether they are what they should be.

mod check;
mod fetch;
pub(crate) mod folder;
pub(crate) mod names;
mod progress;
mod report;
mod size;

use std::process::ExitCode;

use crate::cli::WeightsCommand;

pub(crate) fn main(command: &WeightsCommand) -> ExitCode {
    match command {
        WeightsCommand::Fetch(args) => fetch::main(args),
        WeightsCommand::Check(args) => check::main(args),
    }
}
