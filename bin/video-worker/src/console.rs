//! The operator's console, beside the loops or alone.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use parallax_console::Console;
use parallax_listener::{Limits, Listener};
use parallax_local::StateDir;
use parallax_process::{Hangup, Termination};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config::Settings;
use crate::operate::say;
use crate::platform;

/// Where the command serves it if nothing is said.
const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8018);
/// Browsers keep several connections, and every open page one for its events.
const LIMITS: Limits =
    Limits { connections: 512, head: Duration::from_secs(10), stall: Duration::from_secs(30) };
/// For answers in progress, at the end.
const GRACE: Duration = Duration::from_secs(1);

/// A console that is being served.
#[derive(Debug)]
pub(crate) struct Served {
    address: SocketAddr,
    serving: JoinHandle<()>,
    /// Read secrets again when they are asked to.
    reading: Vec<JoinHandle<()>>,
    stop: CancellationToken,
    /// Held while the platform is used.
    _state: Option<StateDir>,
}

impl Served {
    /// Ends it, with the streams of events.
    ///
    /// # Errors
    /// When serving it crashed.
    pub(crate) async fn end(self) -> Result<()> {
        self.stop.cancel();
        self.reading.iter().for_each(JoinHandle::abort);
        self.serving.await.context("serve the console")
    }
}

/// Whether the settings go together, as far as that can be told without opening anything.
///
/// # Errors
/// Names the variable.
pub(crate) fn agree(settings: &Settings) -> Result<()> {
    settings.console.token()?;
    settings.console.console_address.map_or(Ok(()), |address| settings.console.allow(address))
}

/// Serves it beside the loops, if it was asked for.
///
/// # Errors
/// Names the variable, what was found and what is allowed.
pub(crate) async fn beside(settings: &Settings) -> Result<Option<Served>> {
    match settings.console.console_address {
        Some(address) => serve(settings, address).await.map(Some),
        None => Ok(None),
    }
}

/// Serves it alone, until a signal.
///
/// # Errors
/// Names the variable, what was found and what is allowed.
pub(crate) async fn command(settings: &Settings) -> Result<()> {
    let mut termination = Termination::listen()?;
    platform::agree(settings)?;
    let served = serve(settings, settings.console.console_address.unwrap_or(ADDRESS)).await?;
    say(&format_args!("http://{}/", served.address));
    termination.asked().await;
    served.end().await
}

async fn serve(settings: &Settings, address: SocketAddr) -> Result<Served> {
    settings.console.allow(address)?;
    let token = settings.console.token()?;
    let (deployment, state) = platform::watched(settings).await?;
    let inference = settings.http.token()?;
    let told = parallax_console::Settings {
        hosts: settings.console.console_hosts.iter().map(ToString::to_string).collect(),
        token: token.clone(),
        everybody_reads: address.ip().is_loopback(),
        max_in_flight: settings.inference_max_in_flight,
        never_ends_attempts: settings.may_end_attempts().err().map(|why| why.to_string()),
        secrets: inference.clone().into_iter().collect(),
        platform: platform::name(settings)?,
    };
    let listener = Listener::bind(address, LIMITS)
        .await
        .with_context(|| format!("WORKER_CONSOLE_ADDRESS {address}: cannot listen"))?;
    let address = listener.address()?;
    info!(%address, acts = token.is_some(), "the operator's console");
    let stop = CancellationToken::new();
    let console = Console::new(deployment, told, stop.clone());
    let serving = tokio::spawn(listener.serve(console.routes(), stop.clone(), GRACE));
    let mut reading = Vec::new();
    for secret in [token, inference] {
        reading.push(tokio::spawn(Hangup::listen()?.read_again(secret, |_| {})));
    }
    Ok(Served { address, serving, reading, stop, _state: state })
}
