//! A queue with the place where its hopeless messages go.

use std::sync::Arc;

use parallax_ports::Queue;

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
}
