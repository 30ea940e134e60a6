//! What makes this server's results what they are, beside requests.

use std::sync::{Arc, OnceLock};

use parallax_engine_spec::Selection;
use parallax_stereo_service::Recipe;
use parallax_weights::fingerprint;
use tracing::warn;

use crate::config::Settings;

/// The engine, the program's release and commit, options, device and weights. The weights are looked at once, with the
/// first request: until then they may be on their way.
pub(crate) fn of(settings: &Settings, engine: &dyn Selection) -> Recipe {
    let spec = settings.engine.0;
    let text = format!(
        "{} {} {}{}",
        spec.name,
        parallax_process::version(),
        settings.device().as_str(),
        engine.words()
    );
    if spec.weights.is_none() {
        return Recipe(Arc::new(move || Some(text.clone())));
    }
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::Cli;
    use crate::model::select;

    fn recipe(arguments: &[&str]) -> Option<String> {
        let arguments = ["inference-server"].iter().chain(arguments);
        let settings = Cli::try_parse_from(arguments).unwrap().settings;
        of(&settings, &*select(&settings).unwrap()).0()
    }

    /// Stored with results: other words, and no earlier result is found again.
    #[test]
    fn the_words_that_are_stored_do_not_change() {
        let version = parallax_process::version();
        assert_eq!(recipe(&["--engine", "draft"]), Some(format!("draft {version} cpu")));
        assert_eq!(recipe(&["--engine", "copy"]), Some(format!("copy {version} cpu")));
        let weights = tempfile::tempdir().unwrap();
        parallax_tiny_weights::write(weights.path(), 1).unwrap();
        let folder = weights.path().to_str().unwrap();
        let print = fingerprint(weights.path()).unwrap();
        let wanted = "cuda steps 3 reference true memory plan 16 weights";
        let found = recipe(&[
            "--weights-dir",
            folder,
            "--steps",
            "3",
            "--reference",
            "--memory-plan",
            "16",
        ]);
        assert_eq!(found, Some(format!("stereocrafter {version} {wanted} {print}")));
        let wanted = "cpu steps 8 reference false memory plan 24 weights";
        let found = recipe(&["--weights-dir", folder, "--device", "cpu"]);
        assert_eq!(found, Some(format!("stereocrafter {version} {wanted} {print}")));
        assert_eq!(recipe(&["--weights-dir", "/nowhere/at/all"]), None);
    }
}
