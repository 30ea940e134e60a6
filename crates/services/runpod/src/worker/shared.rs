//! What the tasks of one worker share.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::options::Options;
use super::platform::Platform;
use super::running::Running;
use crate::Handler;
use crate::body::Reporter;

/// What the worker's tasks have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) platform: Platform,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) options: Options,
    pub(super) running: Running,
    pub(super) reporter: Reporter,
    /// Cancelled when no further job is to be taken.
    pub(super) enough: CancellationToken,
    /// Cancelled when everything is to stop.
    pub(super) end: CancellationToken,
}
