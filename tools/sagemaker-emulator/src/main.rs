//! Serves one endpoint until it is told to stop.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use parallax_aws::{Aws, S3Objects};
use sagemaker_emulator::{Endpoint, Faults, Settings, router};

/// An asynchronous SageMaker endpoint on the loopback, with faults by seed.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen; port 0 takes a free one. The address is printed as `listening ADDRESS`.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Name of the endpoint.
    #[arg(long, default_value = "endpoint")]
    endpoint: String,
    /// Base address of a container; one instance for each.
    #[arg(long = "container", required = true)]
    containers: Vec<String>,
    /// Requests that one instance runs at once.
    #[arg(long, default_value_t = 1)]
    per_instance: usize,
    /// Where responses go, such as `s3://output/sagemaker-async-responses/`.
    #[arg(long)]
    responses: String,
    /// Where failures go, such as `s3://output/sagemaker-async-failures/`.
    #[arg(long)]
    failures: String,
    #[command(flatten)]
    faults: Faults,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let args = Args::parse();
    let slash = |text: String| if text.ends_with('/') { text } else { format!("{text}/") };
    let aws = Aws::load(&parallax_aws::Settings::default()).await;
    let settings = Settings {
        name: args.endpoint,
        containers: args.containers,
        per_instance: args.per_instance,
        responses: slash(args.responses),
        failures: slash(args.failures),
        faults: args.faults,
    };
    let endpoint = Arc::new(Endpoint::new(settings, Arc::new(S3Objects::new(aws.s3())))?);
    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("listen on {}", args.listen))?;
    println!("listening {}", listener.local_addr()?);
    let stopped = async {
        // Without a signal to wait for there is nothing to stop for either.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    axum::serve(listener, router(endpoint)).with_graceful_shutdown(stopped).await?;
    Ok(())
}
