//! The port for conversions that a dashboard counts.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

/// Counts conversions for a dashboard that somebody else runs.
#[async_trait]
pub trait ConversionSink: Debug + Send + Sync {
    /// A segment of `bytes` was converted in `duration`. Never fails: a conversion is worth more
    /// than its number.
    async fn converted(&self, duration: Duration, bytes: u64);
}

/// Counts nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoConversions;

#[async_trait]
impl ConversionSink for NoConversions {
    async fn converted(&self, _: Duration, _: u64) {}
}
