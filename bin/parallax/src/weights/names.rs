//! What `weights fetch` brings under a name: all that an engine needs, or one model.

use std::fmt::Write;

use parallax_catalogue::{ALL, ESTIMATORS, INPAINTERS, OF_OPERATIONS, models, once_each};
use parallax_engine_spec::{Commercial, Published, WeightsSpec};

use super::size::size;

/// What is fetched without a name, as it was before there were others.
pub(super) const UNNAMED: &str = "stereocrafter";

/// The names of everything that reads weights, with what it needs of them; an engine before a half of it that
/// is called the same, as it needs more.
fn parts() -> Vec<(&'static str, &'static [Published])> {
    let engines = ALL.iter().map(|spec| (spec.name, spec.weights));
    let estimators = ESTIMATORS.iter().map(|spec| (spec.name, spec.weights));
    let inpainters = INPAINTERS.iter().map(|spec| (spec.name, spec.weights));
    let needed = |(name, weights): (&'static str, Option<&'static WeightsSpec>)| {
        Some((name, weights?.needed(None)))
    };
    let mut parts: Vec<(&str, &[Published])> = Vec::new();
    let operations = OF_OPERATIONS.iter().map(|(name, weights)| (*name, Some(*weights)));
    let all = engines.chain(estimators).chain(inpainters).chain(operations);
    for part in all.filter_map(needed) {
        if parts.iter().all(|(name, _)| *name != part.0) {
            parts.push(part);
        }
    }
    parts
}

/// Every name, as a user may write it.
pub(crate) fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = parts().into_iter().map(|(name, _)| name).collect();
    let others = models().into_iter().map(|model| model.name);
    let others: Vec<&str> = others.filter(|name| !names.contains(name)).collect();
    names.extend(others);
    names
}

/// The models under these names, each once. A name that is both stands for the engine, which needs the
/// model too.
pub(super) fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<&'static Published> {
    let (parts, all) = (parts(), models());
    once_each(names.into_iter().flat_map(
        |name| match parts.iter().find(|(part, _)| *part == name) {
            Some((_, needed)) => needed.iter().collect(),
            None => all.iter().copied().filter(|model| model.name == name).collect::<Vec<_>>(),
        },
    ))
}

/// The names for a person to choose from.
pub(crate) fn table() -> String {
    let width = names().iter().map(|name| name.len()).max().unwrap_or(0);
    let mut table = String::from("Models:\n");
    for model in models() {
        let size = size(model.bytes);
        let _ = writeln!(table, "  {:width$}  {size:>9}  {}", model.name, terms(model));
    }
    table.push_str(
        "What needs them, by a name that brings all it needs (the first of several models):\n",
    );
    for (name, needed) in parts() {
        let needed: Vec<&str> = needed.iter().map(|model| model.name).collect();
        let _ = writeln!(table, "  {name:width$}  {}", needed.join(", "));
    }
    let _ = write!(table, "Without a name: {UNNAMED}.");
    table
}

/// The licence in a few words, with what it asks of a user.
pub(super) fn terms(model: &Published) -> String {
    let licence = model.licence;
    let mut terms = licence.name.to_owned();
    terms.push_str(match licence.commercial {
        Commercial::Allowed => "",
        Commercial::Conditional => "; commercial use under conditions only",
        Commercial::Forbidden => "; no commercial use",
    });
    if licence.gated {
        terms.push_str("; needs a token (HF_TOKEN)");
    }
    terms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn under(names: &[&str]) -> Vec<&'static str> {
        named(names.iter().copied()).into_iter().map(|model| model.name).collect()
    }

    #[test]
    fn an_engine_stands_for_all_that_it_needs_and_a_model_for_itself() {
        assert_eq!(under(&[UNNAMED]), ["svd", "depthcrafter", "stereocrafter"]);
        assert_eq!(under(&["depthcrafter"]), ["svd", "depthcrafter"]);
        assert_eq!(under(&["svd"]), ["svd"]);
        assert_eq!(under(&["svd", "depthcrafter", "svd"]), ["svd", "depthcrafter"]);
        assert_eq!(under(&["draft"]), [""; 0]);
    }

    #[test]
    fn every_model_has_its_line_in_the_documentation() {
        let lines: Vec<&str> = include_str!("../../../../docs/models.md").lines().collect();
        for model in models() {
            let line = lines.iter().find(|line| line.starts_with(&format!("| `{}` ", model.name)));
            let line = line.unwrap_or_else(|| panic!("{} is not in docs/models.md", model.name));
            for told in [size(model.bytes), model.licence.name.to_owned()] {
                assert!(line.contains(&told), "{told}: {line}");
            }
        }
    }

    #[test]
    fn every_name_is_listed_and_brings_something() {
        let table = table();
        for name in names() {
            assert!(!under(&[name]).is_empty(), "{name}");
            assert!(table.contains(&format!("\n  {name} ")), "{name}: {table}");
        }
        for model in models() {
            assert!(table.contains(&terms(model)) && model.bytes > 1_000_000, "{}", model.name);
        }
        assert!(table.contains(
            "Stability AI Community License; commercial use under conditions only; needs a token"
        ));
        assert!(table.contains("academic, research and education use only; no commercial use\n"));
    }
}
