//! `inference-server`: the GPU service behind SageMaker, RunPod and plain HTTP.

mod animate;
mod config;
mod conversions;
mod engine;
mod healthy;
mod metrics;
mod model;
mod perception;
mod recipe;
mod run;
mod runpod;
mod stores;
mod weights;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    parallax_process::share_pool();
    let cli = config::Cli::parse();
    if let Some(config::Command::Healthy) = cli.command {
        return parallax_process::end(healthy::ask(cli.settings.health_address), None);
    }
    if let Err(error) = parallax_telemetry::logs::init(cli.log_format, &cli.log_filter) {
        return parallax_process::end(Err(error.into()), None);
    }
    parallax_process::log_version("inference-server");
    parallax_process::end(parallax_process::run(run::run(&cli.settings)), Some("inference-server"))
}
