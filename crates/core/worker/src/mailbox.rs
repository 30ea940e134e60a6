//! Receiving from a queue, and the one table that turns outcomes into queue verbs.

use std::sync::Arc;
use std::time::Duration;

use parallax_ports::{Message, Result};
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::context::Context;
use crate::delays::LONGEST_HIDE;
use crate::mutant::buggify;
use crate::outcome::Outcome;
use crate::stop::Stop;
use crate::{Inbox, metrics};

/// A queue that a loop receives from, and what becomes of its messages.
#[derive(Debug, Clone)]
pub(crate) struct Mailbox {
    pub(crate) context: Arc<Context>,
    pub(crate) inbox: Inbox,
}

impl Mailbox {
    /// Receives. When a stop is asked for meanwhile, what the running receive still
    /// brings is handed back.
    pub(crate) async fn receive(
        &self,
        max: usize,
        wait: Duration,
        stop: &Stop,
    ) -> Result<Vec<Message>> {
        let config = &self.context.config;
        let receive = self.inbox.queue.receive(max, wait, config.visibility);
        tokio::pin!(receive);
        tokio::select! {
            biased;
            () = stop.soft.cancelled() => {
                if buggify!(self.context, DropOnDrain) {
                    return Ok(Vec::new());
                }
                // Dropping the receive could hide a message until its timeout. One that lasts longer was
                // begun because nothing comes; it is not waited for to its end.
                let brought = match wait > config.poll_wait {
                    true => timeout(config.poll_wait, receive).await.unwrap_or(Ok(Vec::new())),
                    false => receive.await,
                };
                for message in brought? {
                    self.settle(&message, Outcome::Interrupted).await;
                }
                Ok(Vec::new())
            }
            messages = &mut receive => messages,
        }
    }

    /// Carries an outcome out on the queue. A failure here is never an error: the message comes
    /// again, and handling it again is a no-op.
    pub(crate) async fn settle(&self, message: &Message, outcome: Outcome) {
        let (context, inbox) = (&self.context, &self.inbox);
        let exhausted = message.receive_count >= context.config.max_receives;
        let outcome = match outcome {
            Outcome::Retry { .. } | Outcome::Later { .. } if exhausted => Outcome::Poison {
                why: format!("exhausted after {} deliveries", message.receive_count),
            },
            other => other,
        };
        context.count(metrics::MESSAGES, &[("queue", inbox.name), ("outcome", outcome.label())]);
        let queue = &inbox.queue;
        let receipt = &message.receipt;
        let settled = match &outcome {
            Outcome::Done => context.persist("delete", || queue.delete(receipt)).await,
            Outcome::Later { .. }
                if inbox.gives_up_soon(message) && !buggify!(context, SpendDeliveries) =>
            {
                self.renew(message).await
            }
            Outcome::Retry { after } | Outcome::Later { after } => {
                // The more often it came back, the less often it is asked for: an outage of
                // minutes must not use up a message's deliveries.
                let again = context.config.refused_after
                    * message.receive_count.saturating_sub(1).min(1000);
                let again = if buggify!(context, HastyRetry) { Duration::ZERO } else { again };
                let hide = (*after).max(context.jittered(again)).min(LONGEST_HIDE);
                context.persist("hide", || queue.change_visibility(receipt, hide)).await
            }
            // The next delivery but one would be its last: what waits on purpose starts anew.
            Outcome::Wait { .. }
                if inbox.is_nearly_used_up(message, &context.config)
                    && !buggify!(context, NeverRenew) =>
            {
                self.renew(message).await
            }
            Outcome::Wait { after } => {
                let hide = (*after).min(LONGEST_HIDE);
                context.persist("hide", || queue.change_visibility(receipt, hide)).await
            }
            Outcome::Interrupted => {
                info!(queue = inbox.name, message = %message.id, "handed back");
                context
                    .persist("hand back", || queue.change_visibility(receipt, Duration::ZERO))
                    .await
            }
            Outcome::Poison { why } => self.dead_letter(message, why).await,
        };
        if let Err(error) = settled {
            warn!(queue = inbox.name, message = %message.id, error = %error.chain(),
                "message not settled; it will be delivered again");
        }
    }

    /// Sends a message once more and deletes it, so that its deliveries are counted from one again. A
    /// crash in between leaves two, which are as good as one.
    async fn renew(&self, message: &Message) -> Result<()> {
        let queue = &self.inbox.queue;
        self.context.persist("send", || queue.send(&message.body, &[])).await?;
        self.context.persist("delete", || queue.delete(&message.receipt)).await
    }

    /// Copies a message to the dead letters with the reason, and deletes it.
    async fn dead_letter(&self, message: &Message, why: &str) -> Result<()> {
        let inbox = &self.inbox;
        let preview: String =
            message.body.chars().take(200).flat_map(char::escape_default).collect();
        error!(queue = inbox.name, message = %message.id, why, preview, "message cannot be handled");
        let Some(dead) = &inbox.dead_letters else { return Ok(()) };
        let count = message.receive_count.to_string();
        let why: String = why.chars().take(1024).collect();
        let attributes = [
            ("reason", why.as_str()),
            ("source_message_id", message.id.as_str()),
            ("receive_count", count.as_str()),
            ("worker_version", env!("CARGO_PKG_VERSION")),
        ];
        self.context.persist("bury", || dead.send(&message.body, &attributes)).await?;
        self.context.persist("delete", || inbox.queue.delete(&message.receipt)).await
    }
}
