//! The signal by which somebody who has changed a secret's file asks for it to be read again.

use parallax_secret::{Given, Secret};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

/// SIGHUP, heard from the moment it is made: it does not end the process by itself any more.
#[derive(Debug)]
pub struct Hangup(Signal);

impl Hangup {
    /// Hears it from now on.
    ///
    /// # Errors
    /// When the system takes no handler.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Reads `secret` again whenever the signal comes, and gives what is new to `take`. What cannot be
    /// read is logged, and the old one stays. Never returns.
    pub async fn read_again(mut self, secret: Option<Given>, take: impl Fn(&Secret)) {
        while self.0.recv().await.is_some() {
            let variable = secret.as_ref().map(Given::variable);
            match secret.as_ref().map(Given::read_again) {
                None | Some(Ok(None)) => info!("no secret that comes from a file to read again"),
                Some(Ok(Some(changed))) => {
                    if let Some(secret) = &secret {
                        take(&secret.now());
                    }
                    info!(variable, changed, "the secret was read again");
                }
                Some(Err(error)) => {
                    warn!(variable, %error, "the secret could not be read again; the old one stays");
                }
            }
        }
    }
}
