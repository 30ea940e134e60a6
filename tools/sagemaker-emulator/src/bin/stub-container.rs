//! Serves a container that copies, until it is ended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use parallax_aws::{Aws, S3Objects};
use sagemaker_emulator::Container;

/// A container that copies each input to its output address, for tests and rehearsals.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen; port 0 takes a free one. The address is printed as `listening ADDRESS`.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Least time that one request takes, in milliseconds.
    #[arg(long, default_value_t = 0)]
    run_ms: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let aws = Aws::load(&parallax_aws::Settings::default()).await;
    let objects = Arc::new(S3Objects::new(aws.s3()));
    let container = Container::new(objects, Duration::from_millis(args.run_ms));
    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("listen on {}", args.listen))?;
    println!("listening {}", listener.local_addr()?);
    axum::serve(listener, container.router()).await?;
    Ok(())
}
