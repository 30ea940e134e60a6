//! HTTP connections within bounds: how many, how slow, and how they end.
//!
//! For every port that others reach. axum's own loop takes any number of connections and waits for
//! ever for a request's head. What a request's body may be is the business of whoever reads it.
//!
//! Whoever opens connections and asks for nothing keeps nobody out: when there are as many as may be, the
//! one that has been idle the longest makes room.

mod hosts;
mod idle;
mod watched;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::idle::{Answer, Idle, Room, Seat};
use crate::watched::Watched;

pub use crate::hosts::{HostName, HostNameError, Hosts};

/// What connections may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once. One more ends the one that has been idle the longest, and at least for a
    /// quarter of a second, or waits for one. Defaults to 1024.
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
        let idle = Arc::new(Idle::default());
        let graceful = GracefulShutdown::new();
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(self.limits.head).max_buf_size(16 << 10);
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = accept(&self.listener, &slots, &idle) => accepted,
            };
            let Some((stream, peer, slot)) = accepted else { continue };
            let routes = TowerToHyperService::new(routes.clone().layer(Extension(Peer(peer))));
            let mut stream = TimeoutStream::new(stream);
            // A request's own time is counted where it is read.
            stream.set_write_timeout(Some(self.limits.stall));
            let seat = Seat::new(idle.clone());
            let stream = TokioIo::new(Watched::new(Box::pin(stream), seat.clone()));
            let end = seat.end.clone();
            let service = service_fn(move |request| {
                seat.asked();
                let (answer, seat) = (routes.call(request), seat.clone());
                async move { answer.await.map(|answer| answer.map(|body| Answer::new(body, seat))) }
            });
            let connection = graceful.watch(http.serve_connection(stream, service));
            tokio::spawn(async move {
                match end.run_until_cancelled(connection).await {
                    Some(Ok(())) => {}
                    Some(Err(error)) => debug!(%peer, %error, "a connection broke"),
                    None => debug!(%peer, "an idle connection made room"),
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

/// Waits for a connection, then for a slot: beyond that one, what cannot be served stays in the system's
/// queue.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    idle: &Idle,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Answers are small: do not wait to fill a packet.
            let _ = stream.set_nodelay(true);
            Some((stream, peer, slot(slots, idle).await?))
        }
        Err(error) => {
            // Too many open files, or a client that was gone at once. The first passes with time.
            warn!(%error, "could not accept a connection");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

/// A slot: one that is free, that of the connection that has been idle the longest, or the first that
/// becomes either.
async fn slot(slots: &Arc<Semaphore>, idle: &Idle) -> Option<OwnedSemaphorePermit> {
    loop {
        if let Ok(slot) = slots.clone().try_acquire_owned() {
            return Some(slot);
        }
        let free = slots.clone().acquire_owned();
        match idle.end_oldest(Instant::now()) {
            Room::Made => return free.await.ok(),
            Room::Later(then) => tokio::select! {
                slot = free => return slot.ok(),
                () = tokio::time::sleep_until(then) => {}
            },
            Room::None => tokio::select! {
                slot = free => return slot.ok(),
                () = idle.more.notified() => {}
            },
        }
    }
}
