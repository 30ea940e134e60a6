//! `inference-server`: the GPU service behind SageMaker, RunPod and plain HTTP.

mod animate;
mod config;
mod conversions;
mod engine;
mod healthy;
mod metrics;
mod model;
mod recipe;
mod run;
mod runpod;
mod stores;
mod weights;

use std::process::ExitCode;

use clap::Parser;

/// Libraries whose words below this level hold what they send: keys, tokens, signatures.
const QUIET: &str = "aws_config=info,aws_credential_types=info,aws_runtime=info,aws_sdk_s3=info,\
                     aws_sdk_cloudwatch=info,aws_sdk_secretsmanager=info,aws_sigv4=info,\
                     aws_smithy_http_client=info,aws_smithy_runtime=info,\
                     aws_smithy_runtime_api=info,h2=info,hyper=info,hyper_util=info,reqwest=info,\
                     rustls=info";

fn main() -> ExitCode {
    parallax_process::share_pool();
    let cli = config::Cli::parse();
    if let Some(config::Command::Healthy) = cli.command {
        return parallax_process::end(healthy::ask(cli.settings.health_address), None);
    }
    let filter = format!("{},{QUIET}", cli.log_filter);
    if let Err(error) = parallax_telemetry::logs::init(cli.log_format, &filter) {
        return parallax_process::end(Err(error.into()), None);
    }
    parallax_process::log_version("inference-server");
    parallax_process::end(parallax_process::run(run::run(&cli.settings)), Some("inference-server"))
}
