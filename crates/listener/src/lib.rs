//! HTTP connections within bounds: how many, how slow, and how they end.
//!
//! For every port that others reach. axum's own loop takes any number of connections and waits for
//! ever for a request's head. What a request's body may be is the business of whoever reads it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// What connections may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; more wait to be accepted. Defaults to 1024.
    pub connections: usize,
    /// Time for a request's head, and between two requests of a connection. Defaults to 30 s.
    pub head: Duration,
    /// Longest time in which a client takes nothing of an answer. Defaults to 30 s.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let patience = Duration::from_secs(30);
        Self { connections: 1024, head: patience, stall: patience }
    }
}

/// Who is at the other end of a request's connection: an extension of every request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// A bound address.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    limits: Limits,
}

impl Listener {
    /// Listens on `address`; port 0 is any free port.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn bind(address: SocketAddr, limits: Limits) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, limits })
    }

    /// Changes what connections may take.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves `routes` until `stop` is cancelled, then lets requests in progress finish for
    /// `grace`. A client that closes its connection ends its request.
    pub async fn serve(self, routes: Router, stop: CancellationToken, grace: Duration) {
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let graceful = GracefulShutdown::new();
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(self.limits.head).max_buf_size(16 << 10);
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = accept(&self.listener, &slots) => accepted,
            };
            let Some((stream, peer, slot)) = accepted else { continue };
            let service = TowerToHyperService::new(routes.clone().layer(Extension(Peer(peer))));
            let mut stream = TimeoutStream::new(stream);
            // A request's own time is counted where it is read.
            stream.set_write_timeout(Some(self.limits.stall));
            let stream = TokioIo::new(Box::pin(stream));
            let connection = graceful.watch(http.serve_connection(stream, service));
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    debug!(%peer, %error, "a connection broke");
                }
                drop(slot);
            });
        }
        drop(self.listener);
        if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
            warn!("some connections did not end in time");
        }
    }
}

/// Waits for a slot first, so that what cannot be served stays in the system's queue.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Answers are small: do not wait to fill a packet.
            let _ = stream.set_nodelay(true);
            Some((stream, peer, slot))
        }
        Err(error) => {
            // Too many open files, or a client that was gone at once. The first passes with time.
            warn!(%error, "could not accept a connection");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}
