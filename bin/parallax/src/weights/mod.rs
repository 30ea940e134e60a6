//! `parallax weights`: bring the models here, and tell whether they are what they should be.

mod check;
mod fetch;
mod folder;
mod progress;
mod report;

use std::process::ExitCode;

use crate::cli::WeightsCommand;

pub(crate) fn main(command: &WeightsCommand) -> ExitCode {
    match command {
        WeightsCommand::Fetch(args) => fetch::main(args),
        WeightsCommand::Check(args) => check::main(args),
    }
}
