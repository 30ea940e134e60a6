//! The signals by which a platform or a person ends a program.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, heard from the moment it is made: neither ends the process by itself any more.
#[derive(Debug)]
pub struct Termination {
    terminate: Signal,
    interrupt: Signal,
}

impl Termination {
    /// Hears them from now on.
    ///
    /// # Errors
    /// When the system takes no handler.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next of them.
    ///
    /// # Cancel safety
    /// A signal that came is kept for the next call.
    pub async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for the next of them; the one after it ends the process at once, with `code`.
    pub async fn once(mut self, code: i32) {
        self.asked().await;
        tokio::spawn(self.exit_on_next(code));
    }

    /// Waits for the next of them, and ends the process with `code`.
    pub async fn exit_on_next(mut self, code: i32) {
        self.asked().await;
        tracing::warn!("asked to stop again; ending at once");
        std::process::exit(code);
    }
}
