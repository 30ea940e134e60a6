//! What the daemon may be told. Names of variables are a wire contract; flags mirror them.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use parallax_job::Mode;
use parallax_telemetry::logs::Format;
use parallax_worker::Roles;

/// The queue daemon of the pipeline.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) settings: Settings,

    /// Shape of the log on standard error: `json` or `text`.
    #[arg(long, env = "LOG_FORMAT", default_value = "json", global = true)]
    pub(crate) log_format: Format,

    /// What is logged, in the syntax of tracing's `EnvFilter`.
    #[arg(long, env = "LOG_FILTER", default_value = "info", global = true)]
    pub(crate) log_filter: String,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Hand a video to a daemon that runs over the same local state folder.
    Submit(SubmitArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// The video.
    pub(crate) input: PathBuf,
    /// Kind of result: `sbs` or `anaglyph`.
    #[arg(long, default_value = "sbs")]
    pub(crate) mode: Mode,
    /// The job's id. Defaults to a random one.
    #[arg(long)]
    pub(crate) job_id: Option<parallax_job::JobId>,
}

/// Where the daemon runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Platform {
    /// SQLite queues and ledger, folders as buckets, in one state folder.
    Local,
}

/// What turns segments into results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// Copies each segment: dry runs and load tests.
    Stub,
    /// The draft engine, in this process.
    Draft,
    /// The copy engine, in this process.
    Copy,
}

#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Where the daemon runs.
    #[arg(long, env = "PLATFORM", value_enum, global = true, default_value = "local")]
    pub(crate) platform: Platform,

    /// Loops to run, separated by commas: segments, output-events, chunking, reassembly,
    /// reconcile; or all.
    #[arg(long, env = "ROLES", default_value = "all")]
    pub(crate) roles: Roles,

    /// State folder of the platform `local`.
    #[arg(long, env = "STATE_DIR", default_value = "parallax-state", global = true)]
    pub(crate) state_dir: PathBuf,

    /// Bucket of sources and segments.
    #[arg(long, env = "INPUT_BUCKET_NAME", default_value = "input", global = true)]
    pub(crate) input_bucket_name: String,

    /// Bucket of results.
    #[arg(long, env = "OUTPUT_BUCKET_NAME", default_value = "output", global = true)]
    pub(crate) output_bucket_name: String,

    /// What turns segments into results.
    #[arg(long, env = "INFERENCE_BACKEND", value_enum, default_value = "stub")]
    pub(crate) inference_backend: Backend,

    /// Most attempts in flight over all replicas, 1 to 20.
    #[arg(long, env = "INFERENCE_MAX_IN_FLIGHT", default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) inference_max_in_flight: u32,

    /// Where `/livez`, `/readyz` and `/metrics` are served; port 0 picks one.
    #[arg(long, env = "HEALTH_ADDRESS", default_value = "127.0.0.1:9090")]
    pub(crate) health_address: SocketAddr,

    /// Seconds that running attempts may finish after SIGTERM, before they are handed back.
    #[arg(long, env = "DRAIN_SECONDS", default_value_t = 100,
        value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub(crate) drain_seconds: u64,

    /// Check configuration and surroundings, then exit.
    #[arg(long)]
    pub(crate) check_config: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        for (flag, value, named) in [
            ("--inference-max-in-flight", "21", "1..=20"),
            ("--inference-max-in-flight", "0", "1..=20"),
            ("--roles", "segments,oops", "oops"),
            ("--platform", "gcp", "local"),
            ("--health-address", "nowhere", "health-address"),
        ] {
            let error = Cli::try_parse_from(["video-worker", flag, value]).unwrap_err().to_string();
            assert!(error.contains(named) && error.contains(value), "{error}");
        }
    }
}
