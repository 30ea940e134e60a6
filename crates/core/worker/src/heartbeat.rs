//! Keeping a lease and a hidden message alive while work runs.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parallax_ports::ledger::{Ended, Fence};
use parallax_ports::{Message, Queue, Result};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tracing::warn;

use crate::context::Context;
use crate::delays::LATEST_START;
use crate::mutant::buggify;

/// A message that must stay hidden while its work runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hidden<'a> {
    pub(crate) queue: &'a dyn Queue,
    pub(crate) message: &'a Message,
}

/// Renews leases and hides messages, again and again.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    context: Arc<Context>,
}

impl Heartbeat {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// How long ago a lease may have been asked for when its work starts. Of a short lease only the
    /// first quarter, so that a renewal can still succeed when the work begins.
    pub(crate) fn fresh(&self, lease: Duration) -> Duration {
        match buggify!(self.context, LateStart) {
            true => LATEST_START,
            false => LATEST_START.min(lease / 4),
        }
    }

    /// Renews the attempt's lease, which was asked for at `asked_at`, and hides its message until
    /// the lease is lost. Never returns while the lease holds.
    pub(crate) async fn keep_attempt(
        &self,
        fence: &Fence,
        asked_at: Instant,
        hidden: Option<Hidden<'_>>,
    ) {
        let lease = self.context.config.lease;
        let renew = || async {
            let until = self.context.now() + lease;
            self.context.ledger().renew(fence, until).await.map(|ended| ended == Ended::Yes)
        };
        self.keep(lease, asked_at, hidden, renew).await;
    }

    /// Calls `renew` at a third of `lease`, hiding the message alongside, until it answers false or the lease, asked for at `kept_at`, has run out unanswered.
    pub(crate) async fn keep<F: Future<Output = Result<bool>>>(
        &self,
        lease: Duration,
        kept_at: Instant,
        hidden: Option<Hidden<'_>>,
        renew: impl Fn() -> F,
    ) {
        // Two things that do not wait for each other: the ledger alone says whether work goes on,
        // and a message that shows early is only extra work.
        if !buggify!(self.context, RenewAfterHiding) {
            tokio::select! {
                biased;
                () = self.keep_lease(lease, kept_at, renew) => {}
                never = self.keep_hidden(lease, hidden) => match never {},
            }
            return;
        }
        let coupled = || async {
            self.hide(hidden).await;
            renew().await
        };
        self.keep_lease(lease, kept_at, coupled).await;
    }

    async fn keep_lease<F: Future<Output = Result<bool>>>(
        &self,
        lease: Duration,
        mut kept_at: Instant,
        renew: impl Fn() -> F,
    ) {
        loop {
            // Stop while it is still certain that nobody else has begun: the lease was counted
            // from before the call that recorded it, and the work needs a moment to end.
            let last = match buggify!(self.context, DeafKeeper) {
                true => Instant::now() + lease,
                false => kept_at + lease.mul_f64(0.6),
            };
            sleep_until((Instant::now() + self.context.jittered(lease / 3)).min(last)).await;
            let asked_at = Instant::now();
            match timeout_at(last, renew()).await {
                Ok(Ok(true)) => kept_at = asked_at,
                // Also refusals that come at once end the lease when they go on for too long.
                Ok(Err(error)) if error.is_retryable() && Instant::now() < last => {
                    warn!(error = %error.chain(), "could not renew the lease");
                }
                Ok(Ok(false) | Err(_)) | Err(_) => return,
            }
        }
    }

    /// Hides the message again and again, whatever the queue answers. Never returns.
    pub(crate) async fn keep_hidden(
        &self,
        lease: Duration,
        hidden: Option<Hidden<'_>>,
    ) -> Infallible {
        let period = lease.min(self.context.config.visibility) / 3;
        loop {
            sleep(self.context.jittered(period)).await;
            if timeout(self.context.config.visibility, self.hide(hidden)).await.is_err() {
                warn!("the queue does not answer; the message may show early");
            }
        }
    }

    async fn hide(&self, hidden: Option<Hidden<'_>>) {
        let Some(Hidden { queue, message }) = hidden else { return };
        let hide = queue.change_visibility(&message.receipt, self.context.config.visibility);
        if let Err(error) = hide.await {
            warn!(error = %error.chain(), "could not hide the message further");
        }
    }
}
