//! The console as a whole: its parts.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::acts::Acting;
use crate::events::Streams;
use crate::hub::Hub;
use crate::settings::{Deployment, Settings};
use crate::source::Source;

/// The console of a deployment.
#[derive(Debug, Clone)]
pub struct Console {
    pub(crate) source: Arc<Source>,
    pub(crate) access: Arc<Access>,
    pub(crate) acting: Arc<Acting>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) streams: Arc<Streams>,
}

impl Console {
    /// A console. Streams of events end with `stop`.
    pub fn new(deployment: Deployment, settings: Settings, stop: CancellationToken) -> Self {
        let access = Arc::new(Access::new(&settings));
        let source = Arc::new(Source { deployment, settings });
        let hub = Arc::new(Hub::new(source.clone()));
        Self {
            access,
            acting: Arc::new(Acting::new(source.clone())),
            streams: Arc::new(Streams::new(hub.clone(), stop)),
            hub,
            source,
        }
    }
}
