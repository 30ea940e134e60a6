//! What became of a message.

use std::time::Duration;

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
    pub(crate) fn label(&self) -> &'static str {
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
