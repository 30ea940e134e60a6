//! The engines that the pages offer: those that a preview can show.

use parallax_catalogue::{ALL, ESTIMATORS, find, is_there};
use parallax_engine_spec::{Choice, Device, EngineSpec};
use parallax_pages::EngineChoice;

use crate::convert::network::{AUTOMATIC, chosen, weights_folder};

/// `auto`, and every engine that makes depth of a film alone and whose depth can be looked at by itself.
pub(super) fn offered() -> Vec<EngineChoice> {
    let (best, _) = chosen(None, Device::Cpu, None);
    let automatic = EngineChoice {
        name: AUTOMATIC.to_owned(),
        about: format!("the best that is here ({})", best.engine.name),
        missing: None,
    };
    let shown = ALL
        .iter()
        .filter(|spec| find(ESTIMATORS, spec.name).is_some() && !spec.takes(Choice::Depth));
    std::iter::once(automatic).chain(shown.map(choice)).collect()
}

fn choice(spec: &EngineSpec) -> EngineChoice {
    let folder = weights_folder(None);
    let models = spec.weights.map_or(&[][..], |weights| weights.models);
    let here = |model| folder.as_deref().is_some_and(|folder| is_there(model, folder));
    let missing = models.first().filter(|_| !models.iter().any(here));
    let about = match (spec.weights.is_some(), missing) {
        (false, _) => "a quick guess, for a first look".to_owned(),
        (true, None) => "a depth network".to_owned(),
        (true, Some(model)) => {
            format!("its weights are not here ({} MB)", model.bytes.div_ceil(1_000_000))
        }
    };
    let missing = missing.map(|model| format!("parallax weights fetch {}", model.name));
    EngineChoice { name: spec.name.to_owned(), about, missing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_choice_is_automatic_and_nothing_asks_for_a_file_of_depth() {
        let names: Vec<String> = offered().into_iter().map(|engine| engine.name).collect();
        assert_eq!(names[..2], ["auto", "draft"]);
        assert!(!names.iter().any(|name| name == "depth-from" || name == "copy"), "{names:?}");
    }
}
