//! Asking for reassembly when a job's last segment is complete.

use std::time::Duration;

use parallax_job::{JobId, ReassemblyMessage};
use parallax_ports::Result;
use parallax_ports::ledger::TriggerOutcome;
use tracing::info;

use crate::{Mutant, Pipeline, metrics};

impl Pipeline {
    /// Sends the job's reassembly message if it is due and nobody else has. The predicate is
    /// evaluated by the ledger, after every completion and in every sweep, so no event is needed.
    pub(crate) async fn trigger(&self, job_id: &JobId) -> Result<()> {
        let nonce = self.ports.ids.next();
        let mut resend = self.config.resend;
        if self.config.is(Mutant::TriggerOnce) {
            resend.unconfirmed = Duration::from_secs(10 * 365 * 24 * 3600);
        }
        let verb = || self.ledger().trigger(job_id, &nonce, resend, self.now());
        match self.persist("trigger", verb).await? {
            TriggerOutcome::Send => {}
            TriggerOutcome::Pending if self.config.is(Mutant::TriggerUnclaimed) => {}
            _ => return Ok(()),
        }
        let confirm = || self.ledger().triggered(job_id, self.now());
        if self.config.is(Mutant::ConfirmBeforeSend) {
            confirm().await?;
        }
        let body = ReassemblyMessage { job_id: job_id.clone() }.body();
        self.persist("send", || self.reassembly_queue().send(&body, &[])).await?;
        self.count(metrics::TRIGGERS, &[]);
        info!(%job_id, "reassembly asked for");
        self.persist("triggered", confirm).await
    }
}
