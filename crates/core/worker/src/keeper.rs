//! Keeping a lease and a hidden message alive while work runs.

use std::future::Future;
use std::time::Duration;

use parallax_ports::health::Beat;
use parallax_ports::ledger::{Ended, Fence};
use parallax_ports::{Message, Queue, Result};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tracing::warn;

use crate::delays::LATEST_START;
use crate::{Mutant, Pipeline};

/// A message that must stay hidden while its work runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hidden<'a> {
    pub(crate) queue: &'a dyn Queue,
    pub(crate) message: &'a Message,
}

impl Pipeline {
    /// How long ago a lease may have been asked for when its work starts. Of a short lease only the
    /// first quarter, so that a renewal can still succeed when the work begins.
    pub(crate) fn fresh(&self, lease: Duration) -> Duration {
        match self.config.is(Mutant::LateStart) {
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
        let lease = self.config.lease;
        let renew = || async {
            let until = self.now() + lease;
            self.ledger().renew(fence, until).await.map(|ended| ended == Ended::Yes)
        };
        self.keep(lease, asked_at, hidden, None, renew).await;
    }

    /// Calls `renew` at a third of `lease`, ticking the beat and hiding the message alongside,
    /// until it answers false or the lease, asked for at `kept_at`, has run out unanswered.
    pub(crate) async fn keep<F: Future<Output = Result<bool>>>(
        &self,
        lease: Duration,
        kept_at: Instant,
        hidden: Option<Hidden<'_>>,
        beat: Option<&Beat>,
        renew: impl Fn() -> F,
    ) {
        // Two things that do not wait for each other: the ledger alone says whether work goes on,
        // and a message that shows early is only extra work.
        if !self.config.is(Mutant::RenewAfterHiding) {
            tokio::select! {
                biased;
                () = self.keep_lease(lease, kept_at, beat, renew) => {}
                () = self.keep_hidden(lease, hidden) => {}
            }
            return;
        }
        let coupled = || async {
            self.hide(hidden).await;
            renew().await
        };
        self.keep_lease(lease, kept_at, beat, coupled).await;
    }

    async fn keep_lease<F: Future<Output = Result<bool>>>(
        &self,
        lease: Duration,
        mut kept_at: Instant,
        beat: Option<&Beat>,
        renew: impl Fn() -> F,
    ) {
        loop {
            // Stop while it is still certain that nobody else has begun: the lease was counted
            // from before the call that recorded it, and the work needs a moment to end.
            let last = match self.config.is(Mutant::DeafKeeper) {
                true => Instant::now() + lease,
                false => kept_at + lease.mul_f64(0.6),
            };
            sleep_until((Instant::now() + self.jittered(lease / 3)).min(last)).await;
            if let Some(beat) = beat {
                beat.tick();
            }
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
    pub(crate) async fn keep_hidden(&self, lease: Duration, hidden: Option<Hidden<'_>>) {
        let period = lease.min(self.config.visibility) / 3;
        loop {
            sleep(self.jittered(period)).await;
            if timeout(self.config.visibility, self.hide(hidden)).await.is_err() {
                warn!("the queue does not answer; the message may show early");
            }
        }
    }

    async fn hide(&self, hidden: Option<Hidden<'_>>) {
        let Some(Hidden { queue, message }) = hidden else { return };
        let hide = queue.change_visibility(&message.receipt, self.config.visibility);
        if let Err(error) = hide.await {
            warn!(error = %error.chain(), "could not hide the message further");
        }
    }
}
