//! Running loops together, and stopping them in two steps.

use std::fmt;
use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::delays::{HAND_BACK, LAST_ROUND};
use crate::stop::{Stop, propagate};
use crate::{Pipeline, Role, Roles};

/// A loop ended that should not have.
#[derive(Debug)]
pub struct RunError {
    role: Role,
    cause: Option<JoinError>,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} loop ended unasked", self.role.as_str())
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|e| e as _)
    }
}

/// Runs the loops of `roles` until a stop has drained them. Dropping the future ends everything
/// at once, as a crash would; the ledger makes that safe.
///
/// # Errors
/// When a loop panics or ends before a stop was asked for: the process should exit.
pub async fn run(pipeline: Arc<Pipeline>, roles: &Roles, stop: Stop) -> Result<(), RunError> {
    let mut loops = JoinSet::new();
    for role in roles.iter() {
        let (pipeline, stop) = (pipeline.clone(), stop.clone());
        loops.spawn(async move {
            // A task of its own, so that a panic still tells which loop it was.
            let mut inner = JoinSet::new();
            inner.spawn(async move { pipeline.run(role, stop).await });
            (role, inner.join_next().await)
        });
    }
    let ending = CancellationToken::new();
    let mut asking = JoinSet::new();
    asking.spawn({
        let (pipeline, ending) = (pipeline.clone(), ending.clone());
        async move { pipeline.run_trigger(ending).await }
    });
    let drain = async {
        stop.soft.cancelled().await;
        info!(seconds = pipeline.context.config.drain.as_secs(), "draining");
        tokio::select! {
            biased;
            () = stop.hard.cancelled() => {}
            () = sleep(pipeline.context.config.drain) => warn!("drain time is over; running work is cancelled"),
        }
        stop.hard.cancel();
        sleep(HAND_BACK).await;
        if !ending.is_cancelled() {
            warn!("not everything was handed back in time; it comes again by itself");
            ending.cancel();
        }
        std::future::pending::<()>().await;
    };
    tokio::pin!(drain);
    let last_round = async {
        ending.cancelled().await;
        sleep(LAST_ROUND).await;
    };
    tokio::pin!(last_round);
    loop {
        tokio::select! {
            biased;
            ended = loops.join_next(), if !ending.is_cancelled() => match ended {
                // Every role has ended; what they completed last is asked about now.
                None => ending.cancel(),
                Some(Ok((role, Some(Ok(()))))) if stop.soft.is_cancelled() => {
                    info!(role = role.as_str(), "loop ended");
                }
                Some(Ok((role, ended))) => {
                    error!(role = role.as_str(), "loop ended unasked");
                    return Err(RunError { role, cause: ended.and_then(Result::err) });
                }
                Some(Err(error)) => propagate::<()>(Err(error)),
            },
            Some(ended) = asking.join_next() => {
                propagate(ended);
                return Ok(());
            }
            () = &mut last_round => {
                warn!("not all that is complete was asked about in time; a sweep will");
                return Ok(());
            }
            () = &mut drain => {}
        }
    }
}
