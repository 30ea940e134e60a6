//! What opening a platform gives.

use parallax_local::StateDir;
use parallax_worker::{Config, Ports, Roles};

/// A platform, open and checked.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) ports: Ports,
    pub(crate) config: Config,
    pub(crate) roles: Roles,
    /// Held while the platform is used.
    pub(crate) _state: Option<StateDir>,
}
