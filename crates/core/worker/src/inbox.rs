//! A queue with the place where its hopeless messages go.

use std::sync::Arc;
use std::time::Duration;

use parallax_ports::{Message, Queue};

use crate::Config;

/// A queue that a loop receives from.
#[derive(Debug, Clone)]
pub struct Inbox {
    /// The name in logs and metrics.
    pub name: &'static str,
    /// Where messages come from.
    pub queue: Arc<dyn Queue>,
    /// Where messages that cannot be handled are copied, with the reason, before they are
    /// deleted. Without one they are left to the queue's own redrive policy.
    pub dead_letters: Option<Arc<dyn Queue>>,
    /// Deliveries after which the queue itself moves a message to its dead letters; `None` for never.
    pub max_receives: Option<u32>,
}

/// How long a loop's receives wait: the longer the queue has been empty, the less often it is asked.
#[derive(Debug, Default)]
pub(crate) struct Quiet(u32);

impl Quiet {
    /// Empty receives in a row after which nothing is expected any more.
    const EXPECTED: u32 = 3;

    pub(crate) fn wait(&self, config: &Config) -> Duration {
        match self.0 {
            0..Self::EXPECTED => config.poll_wait,
            _ => config.poll_wait.max(config.idle_poll_wait),
        }
    }

    pub(crate) fn learn(&mut self, messages: &[Message]) {
        self.0 = if messages.is_empty() { self.0.saturating_add(1) } else { 0 };
    }
}

impl Inbox {
    /// Whether the queue gives up the message at its next delivery but one.
    pub(crate) fn gives_up_soon(&self, message: &Message) -> bool {
        self.max_receives.is_some_and(|most| message.receive_count.saturating_add(1) >= most)
    }

    /// Whether the queue gives up the message at its next delivery but one, which is left for a process
    /// that dies; or too few of the deliveries that `config` allows would be left for real trouble.
    pub(crate) fn is_nearly_used_up(&self, message: &Message, config: &Config) -> bool {
        let most = self.max_receives.unwrap_or(u32::MAX).min(config.max_receives / 5);
        message.receive_count.saturating_add(1) >= most
    }
}
