//! Whether work can be taken, and if not, why.

use std::sync::Arc;

use parallax_ports::health::{Flag, Flags};

/// The conditions of readiness of one server. Clones share them.
#[derive(Debug, Clone)]
pub struct Readiness {
    flags: Flags,
    open: Arc<Flag>,
}

impl Readiness {
    /// Conditions over `flags`, to which others may be added.
    pub fn new(flags: Flags) -> Self {
        let open = flags.register("server", "starting");
        open.raise();
        Self { flags, open: Arc::new(open) }
    }

    /// A further condition, not met yet, and why.
    pub fn condition(&self, name: &str, reason: impl Into<String>) -> Flag {
        self.flags.register(name, reason)
    }

    /// No more work is taken.
    pub fn close(&self) {
        self.open.lower("draining: no new work is taken");
    }

    /// Every condition that is not met, with its reason.
    pub fn reasons(&self) -> Vec<(String, String)> {
        self.flags.lowered()
    }
}
