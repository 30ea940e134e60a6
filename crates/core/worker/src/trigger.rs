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

use crate::{Mutant, Pipeline, metrics};

/// Asks about jobs as they fall due. Once `ending`, asks about all that wait and returns.
pub(crate) async fn run(pipeline: Arc<Pipeline>, ending: CancellationToken) {
    let triggers = &pipeline.triggers;
    loop {
        let due = triggers.next_due();
        tokio::select! {
            biased;
            () = ending.cancelled() => break,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            () = triggers.changed.notified() => continue,
        }
        pipeline.ask(triggers.take_due(Some(Instant::now()))).await;
    }
    pipeline.ask(triggers.take_due(None)).await;
}

impl Pipeline {
    async fn ask(&self, jobs: Vec<JobId>) {
        for job_id in jobs {
            if let Err(error) = self.trigger(&job_id).await {
                warn!(%job_id, error = %error.chain(), "could not ask for reassembly; the sweep will");
            }
        }
    }

    /// Sends the job's reassembly message if it is due and nobody else has.
    pub(crate) async fn trigger(&self, job_id: &JobId) -> Result<()> {
        let nonce = self.ports.ids.next();
        let mut resend = self.config.resend;
        if self.config.is(Mutant::ConfirmBeforeSend) {
            resend.unfinished = Duration::from_secs(u64::from(u32::MAX));
        }
        if self.config.is(Mutant::TriggerOnce) {
            resend.unconfirmed = Duration::from_secs(u64::from(u32::MAX));
        }
        let verb = || self.ledger().trigger(job_id, &nonce, resend, self.now());
        match self.persist("trigger", verb).await? {
            TriggerOutcome::Send => {}
            TriggerOutcome::Sent => {
                self.triggers.forget(job_id);
                return Ok(());
            }
            TriggerOutcome::Pending if self.config.is(Mutant::TriggerUnclaimed) => {}
            TriggerOutcome::NotReady | TriggerOutcome::Pending => return Ok(()),
        }
        let confirm = || self.ledger().triggered(job_id, self.now());
        if self.config.is(Mutant::ConfirmBeforeSend) {
            confirm().await?;
        }
        let body = ReassemblyMessage { job_id: job_id.clone() }.body();
        self.persist("send", || self.reassembly_queue().send(&body, &[])).await?;
        self.count(metrics::TRIGGERS, &[]);
        info!(%job_id, "reassembly asked for");
        self.persist("triggered", confirm).await?;
        self.triggers.forget(job_id);
        Ok(())
    }
}
