//! What everything here is read from and done to, and how text of it is shown.

use parallax_secret::Given;

use crate::redact::redact;
use crate::settings::{Deployment, Settings};

/// A deployment, and what was said of its console.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) deployment: Deployment,
    pub(crate) settings: Settings,
}

impl Source {
    /// Whether anybody may act.
    pub(crate) fn can_act(&self) -> bool {
        self.settings.token.is_some()
    }

    /// Somebody's text as it may be shown.
    pub(crate) fn redacted(&self, text: &str) -> String {
        let Settings { secrets, token, .. } = &self.settings;
        let secrets: Vec<_> = secrets.iter().chain(token).map(Given::now).collect();
        redact(text, &secrets)
    }
}
