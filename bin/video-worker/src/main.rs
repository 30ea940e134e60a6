//! `video-worker`: the queue daemon. Any subset of the pipeline's roles in one process.

mod config;
mod platform;
mod run;
mod submit;

use std::process::ExitCode;

use clap::Parser;

use config::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = parallax_telemetry::logs::init(cli.log_format, &cli.log_filter) {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        match &cli.command {
            None => run::run(&cli.settings).await,
            Some(Command::Submit(args)) => submit::submit(&cli.settings, args).await,
        }
    });
    // Work that was told to stop has had its time.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "video-worker ends");
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
