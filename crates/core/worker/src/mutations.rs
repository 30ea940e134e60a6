//! Deliberate bugs that are more than a line where they happen: see [`crate::Mutant`].

use parallax_ports::ledger::{Intent, IntentOutcome};
use parallax_ports::{Invocation, Result};
use tokio_util::sync::CancellationToken;

use crate::Pipeline;
use crate::outcome::Outcome;

impl Pipeline {
    /// [`Mutant::InvokeBeforeIntent`].
    pub(crate) async fn invoke_first(
        &self,
        intent: &Intent,
        hard: &CancellationToken,
    ) -> Result<Outcome> {
        let invocation = Invocation {
            segment: intent.segment.clone(),
            attempt: 1,
            input: intent.input.clone(),
            output: intent.output.clone(),
        };
        let answer = self.ports.backend.invoke(&invocation, hard).await;
        match self.persist("intent", || self.ledger().record_intent(intent)).await? {
            IntentOutcome::Recorded(row) => self.answered(&row, answer).await,
            _ => Ok(Outcome::Done),
        }
    }
}
