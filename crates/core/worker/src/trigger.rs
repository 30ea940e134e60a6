//! Asking for reassembly when a job's last segment is complete.
//!
//! The ledger alone decides, and its answer depends on nothing but what it holds, so it does not
//! matter when it is asked, only that it is asked once more after the last completion. It is asked
//! at once where this process has seen every segment complete; otherwise when none has completed
//! for a moment, as others may have done the rest. A process that dies in that moment leaves the
//! question to the sweep, which asks it of every unfinished job.

use std::sync::Arc;
use std::time::Duration;

use parallax_job::{JobId, ReassemblyMessage};
use parallax_ports::Result;
use parallax_ports::ledger::TriggerOutcome;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::context::Context;
use crate::metrics;
use crate::mutant::buggify;

/// Asks the ledger about jobs, and for the reassembly of those that are complete.
#[derive(Debug)]
pub(crate) struct Trigger {
    context: Arc<Context>,
}

impl Trigger {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// Asks about jobs as they fall due. Once `ending`, asks about all that wait and returns.
    pub(crate) async fn run(&self, ending: CancellationToken) {
        let triggers = &self.context.triggers;
        loop {
            let due = triggers.next_due();
            tokio::select! {
                biased;
                () = ending.cancelled() => break,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                () = triggers.changed.notified() => continue,
            }
            self.ask(triggers.take_due(Some(Instant::now()))).await;
        }
        self.ask(triggers.take_due(None)).await;
    }

    async fn ask(&self, jobs: Vec<JobId>) {
        for job_id in jobs {
            if let Err(error) = self.ask_for(&job_id).await {
                warn!(%job_id, error = %error.chain(), "could not ask for reassembly; the sweep will");
            }
        }
    }

    /// Sends the job's reassembly message if it is due and nobody else has.
    pub(crate) async fn ask_for(&self, job_id: &JobId) -> Result<()> {
        let context = &*self.context;
        let nonce = context.ports.ids.next();
        let mut resend = context.config.resend;
        if buggify!(context, ConfirmBeforeSend) {
            resend.unfinished = Duration::from_secs(u64::from(u32::MAX));
        }
        if buggify!(context, TriggerOnce) {
            resend.unconfirmed = Duration::from_secs(u64::from(u32::MAX));
        }
        let verb = || context.ledger().trigger(job_id, &nonce, resend, context.now());
        match context.persist("trigger", verb).await? {
            TriggerOutcome::Send => {}
            TriggerOutcome::Sent => {
                context.triggers.forget(job_id);
                return Ok(());
            }
            TriggerOutcome::Pending if buggify!(context, TriggerUnclaimed) => {}
            TriggerOutcome::NotReady | TriggerOutcome::Pending => return Ok(()),
        }
        let confirm = || context.ledger().triggered(job_id, context.now());
        if buggify!(context, ConfirmBeforeSend) {
            confirm().await?;
        }
        let body = ReassemblyMessage { job_id: job_id.clone() }.body();
        context.persist("send", || context.ports.reassembly.queue.send(&body, &[])).await?;
        context.count(metrics::TRIGGERS, &[]);
        info!(%job_id, "reassembly asked for");
        context.persist("triggered", confirm).await?;
        context.triggers.forget(job_id);
        Ok(())
    }
}
