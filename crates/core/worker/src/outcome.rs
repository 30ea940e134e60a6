//! What became of a message, and the one table that turns it into queue verbs.

use std::time::Duration;

use parallax_ports::Message;
use tracing::{error, info, warn};

use crate::delays::LONGEST_HIDE;
use crate::{Inbox, Mutant, Pipeline, metrics};

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything it asked for is durable, or was before. Deleted.
    Done,
    /// To be looked at again after a while. Hidden until then.
    Retry {
        /// How long to hide it.
        after: Duration,
    },
    /// The same, because a service did not answer as it should: no sign that anything is wrong with the
    /// message, so that its queue must not give it up for that.
    Later {
        /// How long to hide it.
        after: Duration,
    },
    /// The same, and the ledger knows what it waits for and until when: that the wait is long or is
    /// repeated is no sign that anything is wrong with the message.
    Wait {
        /// How long to hide it.
        after: Duration,
    },
    /// It can never be handled. Copied to the dead letters with the reason, then deleted.
    Poison {
        /// The reason.
        why: String,
    },
    /// The process is stopping. Visible at once for another.
    Interrupted,
}

impl Outcome {
    fn label(&self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Retry { .. } | Outcome::Later { .. } | Outcome::Wait { .. } => "retry",
            Outcome::Poison { .. } => "poison",
            Outcome::Interrupted => "interrupted",
        }
    }

    /// The outcome of a message that asked for both: nothing is deleted that is not done.
    pub(crate) fn and(self, other: Outcome) -> Outcome {
        use Outcome::{Done, Interrupted, Later, Poison, Retry, Wait};
        match (self, other) {
            (Interrupted, _) | (_, Interrupted) => Interrupted,
            (Retry { after: a }, Retry { after: b }) => Retry { after: a.min(b) },
            (Retry { after: a }, Later { after: b } | Wait { after: b })
            | (Later { after: a } | Wait { after: a }, Retry { after: b }) => {
                Retry { after: a.min(b) }
            }
            (Retry { after }, _) | (_, Retry { after }) => Retry { after },
            (Later { after: a }, Later { after: b } | Wait { after: b })
            | (Wait { after: a }, Later { after: b }) => Later { after: a.min(b) },
            (Later { after }, _) | (_, Later { after }) => Later { after },
            (Wait { after: a }, Wait { after: b }) => Wait { after: a.min(b) },
            (Wait { after }, _) | (_, Wait { after }) => Wait { after },
            (Poison { why: a }, Poison { why: b }) => Poison { why: format!("{a}; {b}") },
            (Poison { why }, Done) | (Done, Poison { why }) => Poison { why },
            (Done, Done) => Done,
        }
    }
}

impl Pipeline {
    /// Carries an outcome out on the queue. A failure here is never an error: the message comes
    /// again, and handling it again is a no-op.
    pub(crate) async fn settle(&self, inbox: &Inbox, message: &Message, outcome: Outcome) {
        let exhausted = message.receive_count >= self.config.max_receives;
        let outcome = match outcome {
            Outcome::Retry { .. } | Outcome::Later { .. } if exhausted => Outcome::Poison {
                why: format!("exhausted after {} deliveries", message.receive_count),
            },
            other => other,
        };
        self.count(metrics::MESSAGES, &[("queue", inbox.name), ("outcome", outcome.label())]);
        let queue = &inbox.queue;
        let receipt = &message.receipt;
        let settled = match &outcome {
            Outcome::Done => self.persist("delete", || queue.delete(receipt)).await,
            Outcome::Later { .. }
                if inbox.gives_up_soon(message) && !self.config.is(Mutant::SpendDeliveries) =>
            {
                self.renew_message(inbox, message).await
            }
            Outcome::Retry { after } | Outcome::Later { after } => {
                // The more often it came back, the less often it is asked for: an outage of
                // minutes must not use up a message's deliveries.
                let again =
                    self.config.refused_after * message.receive_count.saturating_sub(1).min(1000);
                let again = if self.config.is(Mutant::HastyRetry) { Duration::ZERO } else { again };
                let hide = (*after).max(self.jittered(again)).min(LONGEST_HIDE);
                self.persist("hide", || queue.change_visibility(receipt, hide)).await
            }
            // The next delivery but one would be its last: what waits on purpose starts anew.
            Outcome::Wait { .. }
                if inbox.is_nearly_used_up(message, &self.config)
                    && !self.config.is(Mutant::NeverRenew) =>
            {
                self.renew_message(inbox, message).await
            }
            Outcome::Wait { after } => {
                let hide = (*after).min(LONGEST_HIDE);
                self.persist("hide", || queue.change_visibility(receipt, hide)).await
            }
            Outcome::Interrupted => {
                info!(queue = inbox.name, message = %message.id, "handed back");
                self.persist("hand back", || queue.change_visibility(receipt, Duration::ZERO)).await
            }
            Outcome::Poison { .. } if self.config.is(Mutant::DropPoison) => {
                self.persist("delete", || queue.delete(receipt)).await
            }
            Outcome::Poison { why } => self.bury(inbox, message, why).await,
        };
        if let Err(error) = settled {
            warn!(queue = inbox.name, message = %message.id, error = %error.chain(),
                "message not settled; it will be delivered again");
        }
    }

    /// Sends a message once more and deletes it, so that its deliveries are counted from one again. A
    /// crash in between leaves two, which are as good as one.
    async fn renew_message(&self, inbox: &Inbox, message: &Message) -> parallax_ports::Result<()> {
        self.persist("send", || inbox.queue.send(&message.body, &[])).await?;
        self.persist("delete", || inbox.queue.delete(&message.receipt)).await
    }

    async fn bury(
        &self,
        inbox: &Inbox,
        message: &Message,
        why: &str,
    ) -> parallax_ports::Result<()> {
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
        self.persist("bury", || dead.send(&message.body, &attributes)).await?;
        self.persist("delete", || inbox.queue.delete(&message.receipt)).await
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome::{self, Done, Interrupted, Later, Poison, Retry, Wait};
    use std::time::Duration;

    #[test]
    fn a_message_is_deleted_only_when_every_part_of_it_is_done() {
        let retry = |s| Retry { after: Duration::from_secs(s) };
        let poison = || Poison { why: "x".into() };
        let wait = |s| Wait { after: Duration::from_secs(s) };
        let later = |s| Later { after: Duration::from_secs(s) };
        let cases: [(Outcome, Outcome, Outcome); 13] = [
            (Done, Done, Done),
            (Done, retry(5), retry(5)),
            (retry(9), retry(5), retry(5)),
            (poison(), retry(5), retry(5)),
            (poison(), Done, poison()),
            (Interrupted, retry(1), Interrupted),
            (Done, wait(5), wait(5)),
            (wait(9), wait(5), wait(5)),
            (wait(5), retry(9), retry(5)),
            (wait(5), later(9), later(5)),
            (retry(5), later(9), retry(5)),
            (later(5), later(9), later(5)),
            (poison(), later(5), later(5)),
        ];
        for (a, b, expected) in cases {
            assert_eq!(a.clone().and(b.clone()), expected, "{a:?} and {b:?}");
            assert_eq!(b.clone().and(a.clone()), expected, "{b:?} and {a:?}");
        }
    }
}
