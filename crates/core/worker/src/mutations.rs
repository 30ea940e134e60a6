//! Deliberate bugs that are more than a line where they happen: see [`crate::Mutant`].

use parallax_ports::ledger::{Intent, IntentOutcome, SegmentRow};
use parallax_ports::{Invocation, Invoked, Result};
use tokio_util::sync::CancellationToken;

use crate::context::Context;

/// [`crate::Mutant::InvokeBeforeIntent`]: what was recorded after, and what the backend had answered.
pub(crate) async fn invoke_first(
    context: &Context,
    intent: &Intent,
    hard: &CancellationToken,
) -> Result<Option<(SegmentRow, Result<Invoked>)>> {
    let invocation = Invocation {
        segment: intent.segment.clone(),
        attempt: 1,
        input: intent.input.clone(),
        output: intent.output.clone(),
    };
    let answer = context.ports.backend.invoke(&invocation, hard).await;
    match context.persist("intent", || context.ledger().record_intent(intent)).await? {
        IntentOutcome::Recorded(row) => Ok(Some((*row, answer))),
        _ => Ok(None),
    }
}
