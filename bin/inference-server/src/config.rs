//! What the server may be told. Flags mirror the variables.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use parallax_catalogue::takers;
use parallax_engine_spec::{Choice, DepthMode};
use parallax_listener::{HostName, Hosts};
use parallax_media::Damaged;
use parallax_serving::front::Limits;
use parallax_serving::front::envelope::Envelope;
use parallax_serving::net::Origin;
use parallax_serving::{Access, ExecutorSettings, Prefix};
use parallax_telemetry::logs::Format;

use crate::engine::EngineName;

mod models;
mod secrets;

pub(crate) use models::ModelSettings;
pub(crate) use secrets::{SecretSettings, tokens};

/// The GPU service behind SageMaker, RunPod and plain HTTP.
#[derive(Debug, Parser)]
#[command(version = parallax_process::version(), about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) settings: Settings,

    /// Shape of the log on standard error: `json` or `text`.
    #[arg(long, env = "LOG_FORMAT", default_value = "json")]
    pub(crate) log_format: Format,

    /// What is logged, in the syntax of tracing's `EnvFilter`.
    #[arg(long, env = "LOG_FILTER", default_value = "info")]
    pub(crate) log_filter: String,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve, as without a command: what SageMaker starts a container with.
    Serve,
    /// Ask the server at `HEALTH_ADDRESS` whether it lives: the container's health check.
    Healthy,
}

/// Whose way of asking is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// `/ping` and `/invocations`, as a SageMaker container.
    Sagemaker,
    /// REST, and `/ping` and `/invocations` for the worker's backend.
    Http,
    /// A serverless worker of RunPod; elsewhere its client API for development.
    Runpod,
}

/// Where models run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Device {
    /// An NVIDIA GPU; the start fails when there is none.
    Cuda,
    /// The processor.
    Cpu,
}

impl Device {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Cuda => "cuda",
            Self::Cpu => "cpu",
        }
    }
}

/// Operations that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServiceName {
    /// `stereo`, by an engine that is loaded at the start.
    Stereo,
    /// `segment`, `track` and `animate`, by networks that are loaded when they are first asked for.
    Animate,
    /// What is in pictures and films, by a network that is loaded when it is first asked for.
    Perception,
}

/// What mode `sbs` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SideBySide {
    /// Both views at full width.
    Full,
    /// Both views at half width.
    Half,
}

/// Where conversion metrics go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MetricsProvider {
    /// To `/metrics` only.
    None,
    /// The same.
    Prometheus,
    /// To CloudWatch too.
    #[value(alias = "aws")]
    Cloudwatch,
}

#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Whose way of asking is answered.
    #[arg(long, env = "SERVER_PROFILE", value_enum, default_value = "sagemaker")]
    pub(crate) profile: Profile,

    /// What is offered, separated by commas. `interpolate`, `loop`, `health` and `memory_stats` always are.
    #[arg(
        long,
        env = "SERVER_SERVICES",
        value_enum,
        value_delimiter = ',',
        default_value = "stereo"
    )]
    pub(crate) services: Vec<ServiceName>,

    #[command(flatten)]
    pub(crate) models: ModelSettings,

    /// The stereo engine.
    #[arg(long, env = "SERVER_ENGINE", value_enum, default_value = "stereocrafter")]
    pub(crate) engine: EngineName,

    /// Where models run. Defaults to `cuda` for engines that need it, and to `cpu` for others.
    #[arg(long, env = "SERVER_DEVICE", value_enum)]
    pub(crate) device: Option<Device>,

    /// Folder of the models that the engine needs. What is missing is downloaded at the start,
    /// with `HF_TOKEN`, `HF_ENDPOINT` and `HF_HUB_OFFLINE` as the hub's own tools read them.
    #[arg(long, env = "WEIGHTS_DIR", default_value = "/opt/ml/model/weights")]
    pub(crate) weights_dir: PathBuf,

    /// Secret with the hub's token, a string or JSON with `hf_token`, `HF_TOKEN` or `token`; asked
    /// for only when something is missing and `HF_TOKEN` is not set.
    #[arg(long, env = "HF_TOKEN_ARN")]
    pub(crate) hf_token_arn: Option<String>,

    /// Denoising steps of `stereocrafter`, 1 to 100.
    #[arg(long, env = "SERVER_STEPS", default_value_t = 8,
        value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) steps: u32,

    /// Compute what the published pipeline computes, quirks included.
    #[arg(long, env = "SERVER_REFERENCE")]
    pub(crate) reference: bool,

    /// Memory in GiB that `stereocrafter` cuts its work for. Pixels depend on it, so segments of one film
    /// join only if every server that converts some has the same; a picture that takes more than is free
    /// is refused.
    #[arg(long, env = "SERVER_MEMORY_PLAN", default_value_t = 24,
        value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub(crate) memory_plan: u64,

    /// Which model of a depth network's engine, by the name of `parallax weights fetch`. Defaults to the first
    /// whose weights are there, or that is brought.
    #[arg(long, env = "SERVER_DEPTH_MODEL")]
    pub(crate) depth_model: Option<String>,

    /// Shorter side in pixels of what a depth network sees. Defaults to 280 on the cpu and 518 on a GPU.
    #[arg(long, env = "SERVER_DEPTH_SIZE", value_parser = clap::value_parser!(u32).range(140..=1036))]
    pub(crate) depth_size: Option<u32>,

    /// How far the camera of a depth network steps back, -3 to 3. Defaults to 0.
    #[arg(long, env = "SERVER_DEPTH_CURVE", allow_negative_numbers = true)]
    pub(crate) depth_curve: Option<f32>,

    /// A depth network looks at every so many-th frame, 1 to 8. Defaults to 1.
    #[arg(long, env = "SERVER_DEPTH_EVERY", value_parser = clap::value_parser!(u32).range(1..=8))]
    pub(crate) depth_every: Option<u32>,

    /// How `video-depth-anything` sees a shot: `windows`, or `streaming`, which is faster and drifts more.
    /// Defaults to windows.
    #[arg(long, env = "SERVER_DEPTH_MODE")]
    pub(crate) depth_mode: Option<DepthMode>,

    /// Memory in MiB of the device that `stereocrafter` may take at most. No pixel depends on it.
    /// Defaults to what is free.
    #[arg(long, env = "SERVER_MEMORY_LIMIT_MIB",
        value_parser = clap::value_parser!(u64).range(1..=4 << 20))]
    pub(crate) memory_limit_mib: Option<u64>,

    /// Where requests are answered; port 0 picks one. Defaults to every address on port 8080,
    /// and for the profiles `http` and `runpod` to the loopback.
    #[arg(long, env = "SERVER_ADDRESS")]
    pub(crate) address: Option<SocketAddr>,

    /// Where `/livez`, `/readyz` and `/metrics` are served; port 0 picks one.
    #[arg(long, env = "HEALTH_ADDRESS", global = true, default_value = "127.0.0.1:9090")]
    pub(crate) health_address: SocketAddr,

    /// Requests that are held at once, the one that runs included; 1 to 1000.
    #[arg(long, env = "SERVER_PLACES", default_value_t = 8,
        value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) places: u16,

    /// Places that one client address may have, 1 to 1000. Defaults to all.
    #[arg(long, env = "SERVER_PLACES_PER_CLIENT",
        value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) places_per_client: Option<u16>,

    /// Seconds that one request may take in all, 1 to 43200.
    #[arg(long, env = "SERVER_RUN_LIMIT_SECONDS", default_value_t = 3600,
        value_parser = clap::value_parser!(u64).range(1..=43_200))]
    pub(crate) run_limit_seconds: u64,

    /// Seconds that running work may finish after SIGTERM, 0 to 3600. Defaults to 25 for the
    /// profile `sagemaker`, which kills after 30, and to 100 for others.
    #[arg(long, env = "DRAIN_SECONDS", value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub(crate) drain_seconds: Option<u64>,

    /// Largest input in bytes.
    #[arg(long, env = "SERVER_INPUT_BYTES", default_value_t = 8 << 30)]
    pub(crate) input_bytes: u64,

    /// What to do where a segment is damaged: `repair` it, so that the last good picture stands in for
    /// each that cannot be read and the response tells, or `refuse` it.
    #[arg(long, env = "SERVER_DAMAGED", default_value = "repair", value_name = "repair|refuse")]
    pub(crate) damaged: Damaged,

    /// Largest body of a request in bytes, 1024 to 16777216.
    #[arg(long, env = "SERVER_BODY_BYTES", default_value_t = 65_536,
        value_parser = clap::value_parser!(u32).range(1024..=16_777_216))]
    pub(crate) body_bytes: u32,

    /// Largest input that a request brings along as a `data:` URL in base64, in bytes, 0 (none) to
    /// 67108864; the body may be larger by its letters.
    #[arg(long, env = "SERVER_INLINE_BYTES", default_value_t = 4_194_304,
        value_parser = clap::value_parser!(u32).range(0..=67_108_864))]
    pub(crate) inline_bytes: u32,

    /// Seconds for a request's body to arrive, 1 to 600.
    #[arg(long, env = "SERVER_BODY_SECONDS", default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) body_seconds: u64,

    #[command(flatten)]
    pub(crate) secrets: SecretSettings,

    /// Names by which the server may be asked for besides `localhost` and addresses where it listens on a
    /// loopback address without tokens, separated by commas; elsewhere any name will do. Defaults to none.
    #[arg(long, env = "SERVER_HOSTS", value_delimiter = ',')]
    pub(crate) hosts: Vec<HostName>,

    /// The same for `HEALTH_ADDRESS`.
    #[arg(long, env = "HEALTH_HOSTS", value_delimiter = ',')]
    pub(crate) health_hosts: Vec<HostName>,

    /// Where inputs may be, separated by commas: `s3://bucket`, `s3://bucket/prefix`, `gs://...`.
    /// Defaults to `INPUT_BUCKET_NAME`; without that the profile `sagemaker` allows whatever its
    /// role may read, and others nothing.
    #[arg(long, env = "SERVER_INPUTS", value_delimiter = ',')]
    pub(crate) inputs: Vec<Prefix>,

    /// Where outputs may go, alike. Defaults to `OUTPUT_BUCKET_NAME`.
    #[arg(long, env = "SERVER_OUTPUTS", value_delimiter = ',')]
    pub(crate) outputs: Vec<Prefix>,

    /// Bucket of segments: the default of `SERVER_INPUTS`.
    #[arg(long, env = "INPUT_BUCKET_NAME")]
    pub(crate) input_bucket_name: Option<String>,

    /// Bucket of results: the default of `SERVER_OUTPUTS`.
    #[arg(long, env = "OUTPUT_BUCKET_NAME")]
    pub(crate) output_bucket_name: Option<String>,

    /// Folders whose files `file://` may name, separated by commas. A file lies at least one
    /// folder below; symbolic links are refused.
    #[arg(long, env = "SERVER_FILE_ROOTS", value_delimiter = ',')]
    pub(crate) file_roots: Vec<PathBuf>,

    /// Origins that a request's own URLs and stores may have, separated by commas:
    /// `https://host`, `https://*.host`, with `:port` when it is not the scheme's own. Defaults to
    /// none.
    #[arg(long, env = "SERVER_ORIGINS", value_delimiter = ',')]
    pub(crate) origins: Vec<Origin>,

    /// Networks that those may lie in although they are not public, separated by commas, such as
    /// `10.0.0.0/8`. Link-local and metadata addresses stay out. Defaults to none.
    #[arg(long, env = "SERVER_NETWORKS", value_delimiter = ',')]
    pub(crate) networks: Vec<IpNet>,

    /// Address of Google Cloud Storage's S3-compatible interface.
    #[arg(long, env = "GCS_ENDPOINT_URL", default_value = "https://storage.googleapis.com")]
    pub(crate) gcs_endpoint_url: String,

    /// Where the durations of conversions go besides `/metrics`.
    #[arg(long, env = "METRICS_PROVIDER", value_enum, default_value = "none")]
    pub(crate) metrics_provider: MetricsProvider,

    /// Namespace of conversion metrics in CloudWatch.
    #[arg(long, env = "METRICS_NAMESPACE", default_value = "StereoSpot/Conversion")]
    pub(crate) metrics_namespace: String,

    /// Folder for temporary files, with room for the inputs and results of all places. Defaults to
    /// the system's.
    #[arg(long, env = "SERVER_SCRATCH")]
    pub(crate) scratch: Option<PathBuf>,

    /// What mode `sbs` means.
    #[arg(long, env = "SERVER_SIDE_BY_SIDE", value_enum, default_value = "full")]
    pub(crate) side_by_side: SideBySide,

    /// Check configuration and surroundings, then exit.
    #[arg(long)]
    pub(crate) check_config: bool,
}

impl Settings {
    /// Checks what goes together.
    ///
    /// # Errors
    /// Names the variable, what was found and what is allowed.
    pub(crate) fn validate(&self) -> Result<()> {
        let closed = self.address().ip().is_loopback() || self.secrets.asks_for_tokens();
        if self.profile == Profile::Http && !closed {
            bail!(
                "SERVER_TOKENS is not set and SERVER_ADDRESS is {}: the profile http needs tokens \
                 unless it listens on a loopback address",
                self.address()
            );
        }
        if self.profile == Profile::Runpod && !self.address().ip().is_loopback() {
            bail!(
                "SERVER_ADDRESS {}: the profile runpod takes its jobs from the platform, and for \
                 development from this machine: allowed is a loopback address",
                self.address()
            );
        }
        self.secrets.read()?;
        for (variable, bucket) in [
            ("INPUT_BUCKET_NAME", &self.input_bucket_name),
            ("OUTPUT_BUCKET_NAME", &self.output_bucket_name),
        ] {
            if let Some(bucket) = bucket.as_deref().filter(|bucket| !bucket.is_empty())
                && format!("s3://{bucket}").parse::<Prefix>().is_err()
            {
                bail!("{variable} {bucket:?}: expected the name of a bucket");
            }
        }
        let store = url::Url::parse(&self.gcs_endpoint_url);
        let plain = store.is_ok_and(|url| {
            ["http", "https"].contains(&url.scheme())
                && url.username().is_empty()
                && url.password().is_none()
        });
        if !plain {
            // It may hold a password.
            bail!("GCS_ENDPOINT_URL: expected http:// or https://, without a user or a password");
        }
        let engine = self.engine.0;
        for (variable, set, choice) in [
            ("SERVER_REFERENCE", self.reference, Choice::Reference),
            ("SERVER_DEPTH_MODEL", self.depth_model.is_some(), Choice::Model),
            ("SERVER_DEPTH_SIZE", self.depth_size.is_some(), Choice::DepthSize),
            ("SERVER_DEPTH_CURVE", self.depth_curve.is_some(), Choice::DepthCurve),
            ("SERVER_DEPTH_EVERY", self.depth_every.is_some(), Choice::DepthEvery),
            ("SERVER_DEPTH_MODE", self.depth_mode.is_some(), Choice::DepthMode),
        ] {
            if set && !engine.takes(choice) {
                let others = takers(choice).join(", ");
                bail!("{variable} is for the engines {others}, not {}", engine.name);
            }
        }
        if let Some(found) = self.depth_curve.filter(|curve| !(-3.0..=3.0).contains(curve)) {
            bail!("SERVER_DEPTH_CURVE {found}: allowed are -3 to 3");
        }
        self.models.validate(self.offers(ServiceName::Perception))?;
        let others = [ServiceName::Animate, ServiceName::Perception];
        let networks = self.engine.has_a_device() || others.iter().any(|s| self.offers(*s));
        if self.device == Some(Device::Cuda) && !networks {
            bail!("SERVER_DEVICE=cuda: the engine {} runs on the cpu only", engine.name);
        }
        Ok(())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        let all = SocketAddr::from(([0, 0, 0, 0], 8080));
        let own = SocketAddr::from(([127, 0, 0, 1], 8080));
        self.address.unwrap_or(if self.profile == Profile::Sagemaker { all } else { own })
    }

    /// How clients of the earlier perception service ask, where it is offered.
    pub(crate) fn earlier_perception(&self) -> Option<Envelope> {
        self.offers(ServiceName::Perception).then(|| self.models.envelope())
    }

    /// Whether a service is offered.
    pub(crate) fn offers(&self, service: ServiceName) -> bool {
        self.services.contains(&service)
    }

    pub(crate) fn device(&self) -> Device {
        let needed = self.offers(ServiceName::Stereo) && self.engine.needs_a_gpu();
        let own = if needed { Device::Cuda } else { Device::Cpu };
        self.device.unwrap_or(own)
    }

    pub(crate) fn drain(&self) -> Duration {
        let default = if self.profile == Profile::Sagemaker { 25 } else { 100 };
        Duration::from_secs(self.drain_seconds.unwrap_or(default))
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            body: Duration::from_secs(self.body_seconds),
            body_bytes: self.body_bytes as usize,
            inline_bytes: self.inline_bytes as usize,
            ..Limits::default()
        }
    }

    pub(crate) fn places(&self) -> ExecutorSettings {
        let places = usize::from(self.places);
        let own = self.places_per_client.map_or(places, usize::from);
        ExecutorSettings { slots: places, slots_per_client: own.min(places) }
    }

    /// By which names requests may come; `None` where it is any. Who reaches an address beyond loopback
    /// is decided elsewhere, and who knows a token is no page's victim.
    pub(crate) fn own_hosts(&self) -> Option<Hosts> {
        let open = self.address().ip().is_loopback() && !self.secrets.asks_for_tokens();
        open.then(|| Hosts::new(&self.hosts))
    }

    /// Whether anybody who reaches the address is let in, and it is not this machine alone that does.
    pub(crate) fn trusts_the_platform(&self) -> bool {
        !self.address().ip().is_loopback() && !self.secrets.asks_for_tokens()
    }

    /// What requests may read and write.
    pub(crate) fn access(&self) -> Access {
        let places = |given: &[Prefix], bucket: &Option<String>| {
            if !given.is_empty() {
                return given.to_vec();
            }
            let own = match bucket.as_deref().filter(|bucket| !bucket.is_empty()) {
                Some(bucket) => format!("s3://{bucket}"),
                // Only the platform reaches the container, and its role is the limit.
                None if self.profile == Profile::Sagemaker => "s3://*".to_owned(),
                None => return Vec::new(),
            };
            own.parse().into_iter().collect()
        };
        Access {
            read: places(&self.inputs, &self.input_bucket_name),
            write: places(&self.outputs, &self.output_bucket_name),
        }
    }
}

#[cfg(test)]
mod tests;
