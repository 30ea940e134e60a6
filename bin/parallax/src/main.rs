//! `parallax`: ordinary video in, stereoscopic 3D out, on one machine.

mod cli;
mod convert;
mod depth;
mod doctor;
mod inspect;
mod interruption;
mod perceive;
mod place;
mod preview;
mod search;
mod serve;
mod weights;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    parallax_process::share_pool();
    let cli = Cli::parse();
    let filter = match cli.verbose {
        0 => "off",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    if let Err(error) =
        parallax_telemetry::logs::init(parallax_telemetry::logs::Format::Text, filter)
    {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    match cli.command {
        Command::Convert(args) => convert::main(*args),
        Command::Depth(args) => depth::main(&args),
        Command::Inspect(args) => inspect::main(&args),
        Command::Perceive(args) => perceive::main(&args),
        Command::Search(args) => search::main(&args),
        Command::Preview(args) => preview::main(&args),
        Command::Serve(args) => serve::main(&args),
        Command::Doctor(args) => doctor::main(&args),
        Command::Weights(command) => weights::main(&command),
    }
}
