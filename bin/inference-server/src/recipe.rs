//! What makes this server's results what they are, beside requests.

use std::sync::{Arc, OnceLock};

use parallax_stereo_service::Recipe;
use parallax_weights::fingerprint;
use tracing::warn;

use crate::config::{EngineName, Settings};

/// The engine, its version, options, device and weights. The weights are looked at once, with the
/// first request: until then they may be on their way.
pub(crate) fn of(settings: &Settings) -> Recipe {
    let mut text = format!(
        "{} {} {}",
        settings.engine.name(),
        env!("CARGO_PKG_VERSION"),
        settings.device().as_str()
    );
    if settings.engine != EngineName::Stereocrafter {
        return Recipe(Arc::new(move || Some(text.clone())));
    }
    text.push_str(&format!(
        " steps {} reference {} memory plan {}",
        settings.steps, settings.reference, settings.memory_plan
    ));
    let (folder, known) = (settings.weights_dir.clone(), OnceLock::new());
    Recipe(Arc::new(move || {
        let weights = known.get_or_init(|| match fingerprint(&folder) {
            Ok(weights) => Some(weights),
            Err(error) => {
                warn!(%error, "the weights cannot be told from others: results are not noted");
                None
            }
        });
        weights.as_ref().map(|weights| format!("{text} weights {weights}"))
    }))
}
