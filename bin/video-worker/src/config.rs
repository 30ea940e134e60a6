//! What the daemon may be told. Names of variables are a wire contract; flags mirror them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Result, bail};
use clap::{Args, Parser, ValueEnum};
use parallax_media::Damaged;
use parallax_secret::{Given, Secret, one_line};
use parallax_telemetry::HostName;
use parallax_telemetry::logs::Format;
use parallax_worker::{Role, Roles};

use crate::backend::Backend;
use crate::command::Command;

mod console;

pub(crate) use self::console::ConsoleSettings;

/// The queue daemon of the pipeline.
#[derive(Debug, Parser)]
#[command(version = parallax_process::version(), about, max_term_width = 100)]
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

/// Where the daemon runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Platform {
    /// SQLite queues and ledger, folders as buckets, in one state folder.
    Local,
    /// SQS, S3 and DynamoDB.
    Aws,
}

/// How long the daemon waits for what may be lost or late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pace {
    /// As long as the services of a cloud may take: minutes to an hour.
    Cloud,
    /// Seconds: only where everything is emulated on one machine.
    Quick,
}

/// Where numbers go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MetricsProvider {
    /// `/metrics` alone.
    Prometheus,
    /// `/metrics`, and to CloudWatch conversions and the numbers that alarms look at.
    #[value(alias = "aws")]
    Cloudwatch,
    /// Nowhere.
    None,
}

/// Who records completions and asks for reassembly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompletionOwner {
    /// This daemon.
    VideoWorker,
    /// A deployed job-worker that learns of results from a queue of its own.
    JobWorker,
}

/// How an endpoint is given its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SagemakerRequest {
    /// As objects in the output bucket.
    Object,
    /// In the call itself, which the API takes since 2026: one call and one object fewer.
    Inline,
}

#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Where the daemon runs.
    /// Defaults to `local`, unless variables of a deployment on AWS are set: then it has to be said.
    #[arg(long, env = "PLATFORM", value_enum, ignore_case = true, global = true)]
    platform: Option<Platform>,

    /// Loops to run, separated by commas: segments, output-events, chunking, reassembly,
    /// reconcile; or all. Defaults to all on the platform `local`, and to segments,
    /// output-events,reconcile on `aws`, where others cut sources and join results.
    #[arg(long, env = "ROLES")]
    pub(crate) roles: Option<Roles>,

    /// State folder of the platform `local`; on others, scratch space.
    #[arg(long, env = "STATE_DIR", default_value = "parallax-state", global = true)]
    pub(crate) state_dir: PathBuf,

    /// Bucket of sources and segments.
    /// `input` on the platform `local`.
    #[arg(long, env = "INPUT_BUCKET_NAME", global = true)]
    pub(crate) input_bucket_name: Option<String>,

    /// Bucket of results.
    /// `output` on the platform `local`.
    #[arg(long, env = "OUTPUT_BUCKET_NAME", global = true)]
    pub(crate) output_bucket_name: Option<String>,

    /// What turns segments into results.
    #[arg(long, env = "INFERENCE_BACKEND", value_enum, default_value = "stub")]
    pub(crate) inference_backend: Backend,

    /// Whether somebody said that, and it is not the default.
    #[arg(skip)]
    pub(crate) says_its_backend: bool,

    /// Most attempts in flight over all replicas, 1 to 20.
    #[arg(long, env = "INFERENCE_MAX_IN_FLIGHT", default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) inference_max_in_flight: u32,

    /// Where numbers go: `/metrics`, that and CloudWatch, or nowhere. Defaults to `prometheus` on the
    /// platform `local`, and to `cloudwatch` on `aws`.
    #[arg(long, env = "METRICS_PROVIDER", value_enum, ignore_case = true)]
    pub(crate) metrics_provider: Option<MetricsProvider>,

    /// Namespace of the metrics in CloudWatch.
    #[arg(long, env = "METRICS_NAMESPACE", default_value = "StereoSpot/Conversion")]
    pub(crate) metrics_namespace: String,

    /// Who records completions and asks for reassembly.
    #[arg(long, env = "COMPLETION_OWNER", value_enum, default_value = "video-worker")]
    pub(crate) completion_owner: CompletionOwner,

    /// Where `/livez`, `/readyz` and `/metrics` are served; port 0 picks one.
    #[arg(long, env = "HEALTH_ADDRESS", default_value = "127.0.0.1:9090")]
    pub(crate) health_address: SocketAddr,

    /// Names by which that may be asked for besides `localhost` and addresses where it is a loopback
    /// address, separated by commas; elsewhere any name will do. Defaults to none.
    #[arg(long, env = "HEALTH_HOSTS", value_delimiter = ',')]
    pub(crate) health_hosts: Vec<HostName>,

    /// Seconds that running attempts may finish after SIGTERM, before they are handed back.
    #[arg(long, env = "DRAIN_SECONDS", default_value_t = 100,
        value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub(crate) drain_seconds: u64,

    /// Seconds after which the work of a replica that died is taken over; whoever works renews at
    /// a third of it. 3 to 43200.
    #[arg(long, env = "LEASE_SECONDS", default_value_t = 120,
        value_parser = clap::value_parser!(u64).range(3..=43_200))]
    pub(crate) lease_seconds: u64,

    /// What chunking and the engines in this process do where a source is damaged: `repair` it, so that
    /// the last good picture stands in for each that cannot be read, or `refuse` it.
    #[arg(long, env = "DAMAGED", default_value = "repair", value_name = "repair|refuse")]
    pub(crate) damaged: Damaged,

    /// The longest that a segment waits because the backend asked for it in `Retry-After`, 1 to 3600 s;
    /// `retry-now` ends such a wait.
    #[arg(long, env = "RETRY_AFTER_LIMIT_SECONDS", default_value_t = 300,
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) retry_after_limit_seconds: u64,

    /// How long to wait for what may be lost or late on the platform `aws`. `quick` is only for
    /// emulated services.
    #[arg(long, env = "PACE", value_enum, default_value = "cloud")]
    pub(crate) pace: Pace,

    #[command(flatten)]
    pub(crate) aws: AwsSettings,

    #[command(flatten)]
    pub(crate) http: HttpSettings,

    #[command(flatten)]
    pub(crate) console: ConsoleSettings,

    /// Check configuration and surroundings, then exit.
    #[arg(long)]
    pub(crate) check_config: bool,
}

impl Settings {
    /// Where the daemon runs.
    ///
    /// # Errors
    /// When nothing says so and the environment is that of a deployment on AWS: over an empty state
    /// folder the daemon would run and see none of its work.
    pub(crate) fn platform(&self) -> Result<Platform> {
        let names = &self.aws;
        let of_aws = [
            ("JOBS_TABLE_NAME", &names.jobs_table_name),
            ("INFERENCE_INVOCATIONS_TABLE_NAME", &names.inference_invocations_table_name),
            ("VIDEO_WORKER_QUEUE_URL", &names.video_worker_queue_url),
            ("OUTPUT_EVENTS_QUEUE_URL", &names.output_events_queue_url),
        ];
        let set =
            of_aws.into_iter().find(|(_, value)| value.as_ref().is_some_and(|v| !v.is_empty()));
        match (self.platform, set) {
            (Some(platform), _) => Ok(platform),
            (None, None) => Ok(Platform::Local),
            (None, Some((variable, _))) => {
                bail!("PLATFORM is not set, but {variable} is: say which of local and aws is meant")
            }
        }
    }

    /// Opens the way for a command that ends attempts: their permits are in a pool of the backend's.
    ///
    /// # Errors
    /// On AWS, when nothing says which backend is meant. With the default's pool such a command would leave
    /// the permits of another held for ever.
    pub(crate) fn may_end_attempts(&self) -> Result<()> {
        match self.platform()? {
            Platform::Aws if !self.says_its_backend => bail!(
                "INFERENCE_BACKEND is not set: this command gives permits back, and has to know whose; \
                 set it as the daemon has it"
            ),
            _ => Ok(()),
        }
    }

    /// Whether a job-worker asks for reassembly, and no role of this daemon joins or cuts.
    pub(crate) fn reassembly_is_elsewhere(&self) -> bool {
        let here = |roles: &Roles| roles.has(Role::Reassembly) || roles.has(Role::Chunking);
        self.completion_owner == CompletionOwner::JobWorker
            && !self.roles.as_ref().is_some_and(here)
    }

    /// Where numbers go.
    ///
    /// # Errors
    /// When the platform is in doubt.
    pub(crate) fn metrics_provider(&self) -> Result<MetricsProvider> {
        Ok(match (self.metrics_provider, self.platform()?) {
            (Some(provider), _) => provider,
            (None, Platform::Aws) => MetricsProvider::Cloudwatch,
            (None, Platform::Local) => MetricsProvider::Prometheus,
        })
    }
}

/// Names and addresses on AWS. The SDK's own variables (`AWS_REGION`, `AWS_ENDPOINT_URL`, ...) work
/// as everywhere.
#[derive(Debug, Args)]
pub(crate) struct AwsSettings {
    /// Table of jobs.
    #[arg(long, env = "JOBS_TABLE_NAME")]
    pub(crate) jobs_table_name: Option<String>,
    /// Table of segment completions.
    #[arg(long, env = "SEGMENT_COMPLETIONS_TABLE_NAME")]
    pub(crate) segment_completions_table_name: Option<String>,
    /// Table of reassembly triggers.
    #[arg(long, env = "REASSEMBLY_TRIGGERED_TABLE_NAME")]
    pub(crate) reassembly_triggered_table_name: Option<String>,
    /// Table of inference invocations.
    #[arg(long, env = "INFERENCE_INVOCATIONS_TABLE_NAME")]
    pub(crate) inference_invocations_table_name: Option<String>,
    /// Queue of source events; needed by the chunking role.
    #[arg(long, env = "CHUNKING_QUEUE_URL")]
    pub(crate) chunking_queue_url: Option<String>,
    /// Queue of segment events.
    #[arg(long, env = "VIDEO_WORKER_QUEUE_URL")]
    pub(crate) video_worker_queue_url: Option<String>,
    /// Queue of the output bucket's events.
    #[arg(long, env = "OUTPUT_EVENTS_QUEUE_URL")]
    pub(crate) output_events_queue_url: Option<String>,
    /// Queue of reassembly messages.
    #[arg(long, env = "REASSEMBLY_QUEUE_URL")]
    pub(crate) reassembly_queue_url: Option<String>,
    /// Where messages that cannot be handled are copied, with the reason. Without it they are left
    /// to each queue's own redrive policy.
    #[arg(long, env = "DEAD_LETTER_QUEUE_URL")]
    pub(crate) dead_letter_queue_url: Option<String>,
    /// Seconds that one receive waits for messages, 0 to 20.
    #[arg(long, env = "SQS_LONG_POLL_WAIT_SECONDS", default_value_t = 20,
        value_parser = clap::value_parser!(u64).range(0..=20))]
    pub(crate) sqs_long_poll_wait_seconds: u64,
    /// Name of the SageMaker endpoint; needed by the backend `sagemaker`.
    #[arg(long, env = "SAGEMAKER_ENDPOINT_NAME")]
    pub(crate) sagemaker_endpoint_name: Option<String>,
    /// Region of the endpoint. Defaults to the region of everything else.
    #[arg(long, env = "SAGEMAKER_REGION")]
    pub(crate) sagemaker_region: Option<String>,
    /// How the endpoint is given its requests.
    #[arg(long, env = "SAGEMAKER_REQUEST", value_enum, default_value = "object")]
    pub(crate) sagemaker_request: SagemakerRequest,
    /// Longest run of one attempt on the endpoint, 1 to 3600 s.
    #[arg(long, env = "SAGEMAKER_INVOKE_TIMEOUT_SECONDS", default_value_t = 1200,
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) sagemaker_invoke_timeout_seconds: u64,
}

/// How inference servers are reached.
#[derive(Debug, Args)]
pub(crate) struct HttpSettings {
    /// Base addresses of inference servers, separated by commas; needed by the backend `http`.
    #[arg(long, env = "INFERENCE_HTTP_URL", value_delimiter = ',')]
    pub(crate) inference_http_url: Vec<String>,
    /// Bearer token for them.
    #[arg(long, env = "INFERENCE_HTTP_TOKEN", hide_env_values = true)]
    pub(crate) inference_http_token: Option<Secret>,
    /// File with that token, which SIGHUP has the daemon read again.
    #[arg(long, env = "INFERENCE_HTTP_TOKEN_FILE")]
    pub(crate) inference_http_token_file: Option<PathBuf>,
    /// The token, once somebody has asked for it.
    #[arg(skip)]
    pub(crate) token: OnceLock<Option<Given>>,
    /// Allow http to other hosts than loopback: only for a private network that is trusted.
    #[arg(long, env = "INFERENCE_HTTP_ALLOW_PLAIN")]
    pub(crate) inference_http_allow_plain: bool,
    /// Longest time to connect to one, 1 to 60 s.
    #[arg(long, env = "INFERENCE_HTTP_CONNECT_SECONDS", default_value_t = 3,
        value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(crate) inference_http_connect_seconds: u64,
    /// Longest time until the head of an answer is complete, 1 to 3600 s. A server that answers when
    /// it is done is silent for as long as a segment takes.
    #[arg(long, env = "INFERENCE_HTTP_ANSWER_SECONDS", default_value_t = 1200,
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) inference_http_answer_seconds: u64,
    /// Longest silence within the body of an answer, 1 to 600 s.
    #[arg(long, env = "INFERENCE_HTTP_PROGRESS_SECONDS", default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) inference_http_progress_seconds: u64,
    /// Longest time for all of one attempt, 1 to 3660 s. Defaults to a minute more than
    /// `INFERENCE_HTTP_ANSWER_SECONDS`, and is not less than that.
    #[arg(long, env = "INFERENCE_HTTP_TOTAL_SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=3660))]
    pub(crate) inference_http_total_seconds: Option<u64>,
    /// How long after an answer of 202 the result may take, 1 to 43200 s; then the attempt counts as
    /// lost and another begins.
    #[arg(long, env = "INFERENCE_HTTP_ACCEPTED_SECONDS", default_value_t = 1800,
        value_parser = clap::value_parser!(u64).range(1..=43_200))]
    pub(crate) inference_http_accepted_seconds: u64,
}

impl HttpSettings {
    /// The token for inference servers: the same one whoever asks, so that what is read again reaches all.
    ///
    /// # Errors
    /// Names the variable, and the file if it is one.
    pub(crate) fn token(&self) -> Result<Option<Given>> {
        if let Some(token) = self.token.get() {
            return Ok(token.clone());
        }
        let (value, file) = (&self.inference_http_token, &self.inference_http_token_file);
        let given = Given::new("INFERENCE_HTTP_TOKEN", value.clone(), file.clone(), one_line)?;
        Ok(self.token.get_or_init(|| given).clone())
    }
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
    fn numbers_go_to_cloudwatch_on_aws_unless_it_is_said_otherwise() {
        use MetricsProvider::{Cloudwatch, Prometheus};
        for (arguments, expected) in [
            (vec!["--platform", "aws"], Cloudwatch),
            (vec!["--platform", "local"], Prometheus),
            (vec!["--platform", "aws", "--metrics-provider", "prometheus"], Prometheus),
        ] {
            let all = ["video-worker"].into_iter().chain(arguments);
            let settings = Cli::try_parse_from(all).unwrap().settings;
            assert_eq!(settings.metrics_provider().unwrap(), expected);
        }
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        for (flag, value, named) in [
            ("--inference-max-in-flight", "21", "1..=20"),
            ("--inference-max-in-flight", "0", "1..=20"),
            ("--roles", "segments,oops", "oops"),
            ("--platform", "gcp", "local, aws"),
            ("--sqs-long-poll-wait-seconds", "21", "0..=20"),
            ("--sagemaker-invoke-timeout-seconds", "3601", "1..=3600"),
            ("--health-address", "nowhere", "health-address"),
        ] {
            let error = Cli::try_parse_from(["video-worker", flag, value]).unwrap_err().to_string();
            assert!(error.contains(named) && error.contains(value), "{error}");
        }
    }
}
