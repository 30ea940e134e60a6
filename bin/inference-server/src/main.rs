//! `inference-server`: the GPU service behind SageMaker, RunPod and plain HTTP.

mod config;
mod conversions;
mod healthy;
mod model;
mod recipe;
mod run;
mod runpod;
mod stores;
mod weights;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

/// Libraries whose words below this level hold what they send: keys, tokens, signatures.
const QUIET: &str = "aws_config=info,aws_credential_types=info,aws_runtime=info,aws_sdk_s3=info,\
                     aws_sdk_cloudwatch=info,aws_sdk_secretsmanager=info,aws_sigv4=info,\
                     aws_smithy_http_client=info,aws_smithy_runtime=info,\
                     aws_smithy_runtime_api=info,h2=info,hyper=info,hyper_util=info,reqwest=info,\
                     rustls=info";

fn main() -> ExitCode {
    parallax_allocator::share_pool();
    let cli = config::Cli::parse();
    if let Some(config::Command::Healthy) = cli.command {
        return match healthy::ask(cli.settings.health_address) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let filter = format!("{},{QUIET}", cli.log_filter);
    if let Err(error) = parallax_telemetry::logs::init(cli.log_format, &filter) {
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
    let done = runtime.block_on(run::run(&cli.settings));
    // Work that was told to stop has had its time.
    runtime.shutdown_timeout(Duration::from_secs(2));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The log is read by machines; without one, a person reads the terminal.
            if tracing::enabled!(tracing::Level::ERROR) {
                tracing::error!(error = format!("{error:#}"), "inference-server ends");
            } else {
                eprintln!("error: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
