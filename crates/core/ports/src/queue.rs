//! A message queue with visibility timeouts.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use crate::Result;

/// Names one delivery of a message. A later delivery of the same message has another receipt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receipt(pub String);

/// One delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The same for every delivery of one message.
    pub id: String,
    /// This delivery.
    pub receipt: Receipt,
    /// Body as it was sent.
    pub body: String,
    /// How often it was delivered, this time included; at least 1.
    pub receive_count: u32,
}

/// At-least-once delivery, in no promised order.
///
/// A message that was received is hidden until its visibility timeout, then delivered again with
/// another receipt, unless it was deleted. A *stale* receipt (the message was delivered again
/// since) is accepted by every call and changes nothing: like SQS, this port does not say that a
/// receipt is stale, so nothing may depend on it. Duplicates occur even without a timeout.
#[async_trait]
pub trait Queue: Debug + Send + Sync {
    /// Waits up to `wait` for messages and takes at most `max` (1 to 10), each hidden for
    /// `visibility`. An empty answer means that none came.
    ///
    /// # Cancel safety
    /// Dropping the future may lose a delivery: the message stays hidden until its timeout.
    async fn receive(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Message>>;

    /// Deletes the message. A stale receipt changes nothing, successfully.
    async fn delete(&self, receipt: &Receipt) -> Result<()>;

    /// Hides the message for `visibility` from now; zero delivers it again at once. A stale
    /// receipt changes nothing, successfully.
    async fn change_visibility(&self, receipt: &Receipt, visibility: Duration) -> Result<()>;

    /// Adds a message, with attributes for whoever reads a dead-letter queue. After an error of
    /// kind `Timeout` it may have been added.
    async fn send(&self, body: &str, attributes: &[(&str, &str)]) -> Result<()>;
}
