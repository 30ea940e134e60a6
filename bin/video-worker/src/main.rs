//! `video-worker`: the queue daemon. Any subset of the pipeline's roles in one process.

mod backend;
mod command;
mod config;
mod console;
mod end;
mod jobs;
mod metrics;
mod operate;
mod platform;
mod presence;
mod run;
mod settings_report;
mod submit;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use command::Command;
use config::Cli;

fn main() -> ExitCode {
    parallax_process::share_pool();
    let mut command = Cli::command();
    let parsed = command.try_get_matches_from_mut(std::env::args_os());
    let parsed = parsed.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (mut cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            if let Some(variable) = settings_report::variable(&command, &error) {
                eprintln!("{variable}:");
            }
            error.exit();
        }
    };
    cli.settings.says_its_backend = settings_report::is_said(&matches, "inference_backend");
    if let Err(error) = parallax_telemetry::logs::init(cli.log_format, &cli.log_filter) {
        eprintln!("error: LOG_FILTER: {error:#}");
        return ExitCode::FAILURE;
    }
    if cli.command.is_none() {
        parallax_process::log_version("video-worker");
        settings_report::log(&command, &matches);
    }
    let done = parallax_process::run(async {
        match &cli.command {
            None => run::run(&cli.settings).await,
            Some(Command::Submit(args)) => submit::submit(&cli.settings, args).await,
            Some(Command::Jobs(args)) => jobs::jobs(&cli.settings, args).await,
            Some(Command::Cancel(args)) => end::cancel(&cli.settings, args).await,
            Some(Command::Delete(args)) => end::delete(&cli.settings, args).await,
            Some(Command::Pause(args)) => end::switch(&cli.settings, args, true).await,
            Some(Command::Resume(args)) => end::switch(&cli.settings, args, false).await,
            Some(Command::Explain(args)) => operate::explain(&cli.settings, args).await,
            Some(Command::Redrive(args)) => operate::redrive(&cli.settings, args).await,
            Some(Command::RetryNow(args)) => operate::retry_now(&cli.settings, args).await,
            Some(Command::Release(args)) => operate::release(&cli.settings, args).await,
            Some(Command::Console) => console::command(&cli.settings).await,
            Some(Command::Metrics(args)) => metrics::print(args),
            Some(Command::Healthy) => operate::healthy(&cli.settings),
        }
    });
    parallax_process::end(done, cli.command.is_none().then_some("video-worker"))
}
