//! Heartbeats, from a thread of their own.
//!
//! The thread has its own clock and connections, so that a handler that keeps every thread of the
//! runtime busy does not make the worker look dead.

use std::thread::JoinHandle;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, StatusCode, Url};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::platform::{chain, client};
use super::running::Running;
use crate::{PROTOCOL_VERSION, Settings, SettingsError};

/// Waits before a heartbeat that failed is repeated.
const RETRIES: [Duration; 3] = [Duration::ZERO, Duration::from_secs(2), Duration::from_secs(4)];
/// How long a report of a failed start may take.
const LAST_WORD: Duration = Duration::from_secs(2);
/// The longest reason in such a report, in characters.
const LONGEST_REASON: usize = 256;

/// The thread; ends when dropped.
#[derive(Debug)]
pub(super) struct Heartbeat {
    end: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

struct Beat {
    http: Client,
    url: Url,
    authorization: HeaderValue,
    interval: Duration,
    running: Running,
}

impl Heartbeat {
    /// Starts the thread; without an address to beat to there is none.
    pub(super) fn start(settings: &Settings, running: Running) -> std::io::Result<Self> {
        let end = CancellationToken::new();
        let Some(ping) = &settings.ping else {
            info!("RUNPOD_WEBHOOK_PING or RUNPOD_POD_ID is not set: no heartbeats are sent");
            return Ok(Self { end, thread: None });
        };
        let prepare = || -> Result<Beat, SettingsError> {
            Ok(Beat {
                http: client()?,
                url: ping.url(&settings.worker_id)?,
                authorization: crate::settings::authorization(&settings.key)?,
                interval: settings.ping_interval,
                running,
            })
        };
        let beat = prepare().map_err(std::io::Error::other)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let ended = end.clone();
        let thread = std::thread::Builder::new().name("runpod-heartbeat".to_owned());
        let thread = thread.spawn(move || keep_beating(runtime, &beat, &ended))?;
        Ok(Self { end, thread: Some(thread) })
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.end.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic has been printed.
            let _ = thread.join();
        }
    }
}

fn keep_beating(runtime: Runtime, beat: &Beat, end: &CancellationToken) {
    let beats = async {
        loop {
            beat.once().await;
            tokio::time::sleep(beat.interval).await;
        }
    };
    runtime.block_on(end.run_until_cancelled(beats));
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
}

impl Beat {
    async fn once(&self) {
        let mut waits = RETRIES.iter();
        loop {
            // Read anew: a repeated heartbeat tells what is true now.
            let Err(why) = self.send().await else { return };
            let Some(wait) = waits.next() else {
                warn!(error = why, "heartbeat failed");
                return;
            };
            debug!(error = why, "heartbeat failed; repeated");
            tokio::time::sleep(*wait).await;
        }
    }

    async fn send(&self) -> Result<(), String> {
        let mut url = self.url.clone();
        let ids = self.running.ids();
        if !ids.is_empty() {
            url.query_pairs_mut().append_pair("job_id", &ids.join(","));
        }
        url.query_pairs_mut().append_pair("runpod_version", PROTOCOL_VERSION);
        let request = self.http.get(url).timeout(self.interval * 2);
        let request = request.header(AUTHORIZATION, self.authorization.clone());
        let response = request.send().await.map_err(|error| chain(&error.without_url()))?;
        match response.status() {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Err(format!("answered {}", response.status())),
            status => {
                if !status.is_success() {
                    warn!(%status, "the platform does not like the heartbeat");
                }
                Ok(())
            }
        }
    }
}

/// Tells the platform that this worker failed `check` at its start and will exit. One attempt of
/// at most two seconds; whether it was taken. Without an address for heartbeats it does nothing.
pub async fn report_unhealthy(settings: &Settings, check: &str, reason: &str) -> bool {
    let Some(Ok(mut url)) = settings.ping.as_ref().map(|ping| ping.url(&settings.worker_id)) else {
        return false;
    };
    let (Ok(http), Ok(authorization)) = (client(), crate::settings::authorization(&settings.key))
    else {
        return false;
    };
    let reason: String = reason.chars().take(LONGEST_REASON).collect();
    url.query_pairs_mut()
        .append_pair("status", "unhealthy")
        .append_pair("check", check)
        .append_pair("reason", &reason)
        .append_pair("runpod_version", PROTOCOL_VERSION);
    let request = http.get(url).timeout(LAST_WORD).header(AUTHORIZATION, authorization);
    request.send().await.is_ok_and(|response| response.status().is_success())
}
