//! What opening a platform gives.

use std::sync::Arc;

use parallax_local::StateDir;
use parallax_ports::Replicas;
use parallax_worker::{Config, Ports, Roles};

/// A platform, open and checked.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) ports: Ports,
    pub(crate) config: Config,
    pub(crate) roles: Roles,
    /// Where this process says that it is at work.
    pub(crate) replicas: Arc<dyn Replicas>,
    /// Held while the platform is used.
    pub(crate) _state: Option<StateDir>,
}
