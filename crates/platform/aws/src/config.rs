//! One place that makes SDK clients.
//!
//! The SDK retries three times by default and waits for ever for an answer; here every client has
//! a connect, a read, an attempt and an operation timeout. All clients share one connection pool.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_http_client::tls;
use parallax_ports::ServiceClock;

use crate::clock::DateReader;

/// What the daemon may say about AWS; the rest comes from the SDK's own variables and files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Region of everything. Defaults to the SDK's own search.
    pub region: Option<String>,
    /// Region of the SageMaker endpoint. Defaults to `region`.
    pub sagemaker_region: Option<String>,
    /// Address of every service. Defaults to the SDK's variables (`AWS_ENDPOINT_URL`,
    /// `AWS_ENDPOINT_URL_SQS` and so on), and without those to AWS itself.
    pub endpoint_url: Option<String>,
}

const CONNECT: Duration = Duration::from_secs(3);
/// A long poll is silent for up to 20 s.
const READ: Duration = Duration::from_secs(30);
const ATTEMPT: Duration = Duration::from_secs(35);
const OPERATION: Duration = Duration::from_secs(60);
/// A part of an upload takes as long as its bytes do.
const TRANSFER: Duration = Duration::from_secs(300);
/// An invocation is never repeated, so that it is known soon whether it was answered.
const INVOKE: Duration = Duration::from_secs(10);

/// Where clients come from.
#[derive(Debug, Clone)]
pub struct Aws {
    config: SdkConfig,
    sagemaker_region: Option<Region>,
    path_style: bool,
    clocks: Clocks,
}

/// The clocks of the services, as their answers tell them.
#[derive(Debug, Clone, Default)]
pub struct Clocks {
    /// SQS.
    pub queue: ServiceClock,
    /// DynamoDB.
    pub ledger: ServiceClock,
    /// S3.
    pub store: ServiceClock,
}

impl Aws {
    /// Reads the SDK's environment and files. Contacts nobody: credentials are fetched with the
    /// first call.
    pub async fn load(settings: &Settings) -> Self {
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http_client())
            .timeout_config(timeouts(READ, ATTEMPT, OPERATION))
            .retry_config(RetryConfig::standard().with_max_attempts(3));
        if let Some(region) = &settings.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(url) = &settings.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        let config = loader.load().await;
        let s3_alone = std::env::var("AWS_ENDPOINT_URL_S3").ok();
        let endpoint = s3_alone.as_deref().or(config.endpoint_url());
        let path_style = endpoint.is_some_and(needs_path_style);
        let sagemaker_region = settings.sagemaker_region.clone().map(Region::new);
        Self { config, sagemaker_region, path_style, clocks: Clocks::default() }
    }

    /// The same with other credentials than the SDK would find.
    #[must_use]
    pub fn with_credentials(mut self, provider: impl ProvideCredentials + 'static) -> Self {
        let shared = SharedCredentialsProvider::new(provider);
        self.config = self.config.into_builder().credentials_provider(shared).build();
        self
    }

    /// The region, once known.
    pub fn region(&self) -> Option<&str> {
        self.config.region().map(Region::as_ref)
    }

    /// The clocks of the services that clients from here have asked.
    pub fn clocks(&self) -> &Clocks {
        &self.clocks
    }

    /// A client for SQS.
    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        let config = aws_sdk_sqs::config::Builder::from(&self.config)
            .interceptor(DateReader(self.clocks.queue.clone()));
        aws_sdk_sqs::Client::from_conf(config.build())
    }

    /// A client for DynamoDB.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let config = aws_sdk_dynamodb::config::Builder::from(&self.config)
            .interceptor(DateReader(self.clocks.ledger.clone()));
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    /// A client for S3.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.config)
            .force_path_style(self.path_style)
            .interceptor(DateReader(self.clocks.store.clone()))
            .timeout_config(store_timeouts())
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// A client for SageMaker endpoints that never repeats a call.
    pub fn sagemaker(&self) -> aws_sdk_sagemakerruntime::Client {
        let mut config = aws_sdk_sagemakerruntime::config::Builder::from(&self.config)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts(INVOKE, INVOKE, INVOKE));
        if let Some(region) = &self.sagemaker_region {
            config = config.region(region.clone());
        }
        aws_sdk_sagemakerruntime::Client::from_conf(config.build())
    }

    /// A client for Secrets Manager.
    pub fn secrets(&self) -> aws_sdk_secretsmanager::Client {
        aws_sdk_secretsmanager::Client::new(&self.config)
    }

    /// A client for CloudWatch.
    pub fn cloudwatch(&self) -> aws_sdk_cloudwatch::Client {
        aws_sdk_cloudwatch::Client::new(&self.config)
    }
}

/// For stores: calls that carry something take as long as that does.
pub(crate) fn store_timeouts() -> TimeoutConfig {
    timeouts(TRANSFER, TRANSFER, TRANSFER * 2)
}

/// For S3 calls that carry nothing: the answer to an upload waits for its bytes, theirs does not.
pub(crate) fn quick() -> aws_sdk_s3::config::Builder {
    aws_sdk_s3::config::Builder::new().timeout_config(timeouts(READ, ATTEMPT, OPERATION))
}

fn http_client() -> aws_smithy_runtime_api::client::http::SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .build_https()
}

fn timeouts(read: Duration, attempt: Duration, operation: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .read_timeout(read)
        .operation_attempt_timeout(attempt)
        .operation_timeout(operation)
        .build()
}

/// Whether buckets cannot be host names there: at an address, or at a name that is not AWS's own.
fn needs_path_style(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    !(host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn"))
}

#[cfg(test)]
mod tests {
    use super::needs_path_style;

    #[test]
    fn only_aws_itself_has_buckets_as_host_names() {
        for url in [
            "http://127.0.0.1:5000",
            "http://localhost:4566/",
            "https://minio:9000/x",
            "http://[::1]:9000",
            "http://10.0.0.7",
        ] {
            assert!(needs_path_style(url), "{url}");
        }
        for url in ["https://s3.eu-west-1.amazonaws.com", "https://s3.cn-north-1.amazonaws.com.cn"]
        {
            assert!(!needs_path_style(url), "{url}");
        }
    }
}
