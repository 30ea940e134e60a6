//! The weights that an engine reads.

use std::error::Error;
use std::path::Path;

use crate::{Commercial, Demand, Licence, ModelReport, PartReport, StageMemory};

/// A model as it is published: a manifest that a program without a tensor library can read.
#[derive(Debug, Clone, Copy)]
pub struct Published {
    /// Short name for command lines.
    pub name: &'static str,
    /// What reports call it.
    pub title: &'static str,
    /// `owner/name` on the hub.
    pub repository: &'static str,
    /// For each file that is read the paths under which it may be found, best first.
    pub files: &'static [&'static [&'static str]],
    /// Bytes of these files together, to about two digits: what a user is told before a download.
    pub bytes: u64,
    /// What the publisher allows.
    pub licence: Licence,
    /// The commit that was looked at, and what its files must be; without it the first download decides.
    pub pin: Option<Pin>,
}

/// A commit of a model's repository, and its files there.
#[derive(Debug, Clone, Copy)]
pub struct Pin {
    /// 40 hexadecimal digits.
    pub commit: &'static str,
    /// Path and SHA-256.
    pub files: &'static [(&'static str, &'static str)],
}

impl Published {
    /// The model of a manifest, as reports call it, with its size and what is allowed:
    ///
    /// ```
    /// use parallax_engine_spec::{Licence, Published};
    /// use parallax_weights::Manifest;
    ///
    /// const SMALL: Manifest = Manifest {
    ///     name: "depth-small",
    ///     repository: "someone/Depth-Small",
    ///     files: &[&["config.json"], &["depth_small.pth"]],
    /// };
    /// const MODEL: Published =
    ///     Published::of(SMALL, "Depth Small", 99_000_000, Licence::APACHE_2_0);
    /// assert_eq!(MODEL.folder(), "Depth-Small");
    /// ```
    #[cfg(feature = "weights")]
    pub const fn of(
        manifest: parallax_weights::Manifest,
        title: &'static str,
        bytes: u64,
        licence: Licence,
    ) -> Self {
        let parallax_weights::Manifest { name, repository, files } = manifest;
        Self { name, title, repository, files, bytes, licence, pin: None }
    }

    /// What its licence forbids, or allows under conditions only; `None` where any use is allowed.
    pub fn warning(&self) -> Option<String> {
        self.licence.warning(self.title)
    }

    /// The folder of the model among others: its repository's name.
    pub fn folder(&self) -> &'static str {
        self.repository.split_once('/').map_or(self.repository, |(_, name)| name)
    }
}

/// What the licences of these models forbid, or allow under conditions only: a line each, the worse first. To be
/// told whenever an engine starts that reads them.
pub fn licence_warnings(models: &[&Published]) -> Vec<String> {
    let of = |commercial| models.iter().filter(move |model| model.licence.commercial == commercial);
    let restricted = of(Commercial::Forbidden).chain(of(Commercial::Conditional));
    restricted.filter_map(|model| model.warning()).collect()
}

/// What conversions take, or why that cannot be told.
pub type Demands = Result<Vec<Demand>, Box<dyn Error + Send + Sync>>;

/// How many of its models an engine reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// All of them: they are parts of one whole.
    All,
    /// One of them: they are instead of each other, best to begin with first.
    One,
}

/// The models of an engine, and how they are looked at.
#[derive(Debug, Clone, Copy)]
pub struct WeightsSpec {
    /// The models, in the order in which they are fetched.
    pub models: &'static [Published],
    /// How many of them are read.
    pub needs: Needs,
    /// Which of the models lies in a folder of its own.
    pub recognise: fn(&Path) -> Option<&'static Published>,
    /// Looks at every part of the model in a folder; with `true` at every value, too.
    pub examine: fn(&Published, &Path, bool) -> Vec<PartReport>,
    /// Weights that are in memory together.
    pub stages: fn(&[ModelReport]) -> Vec<StageMemory>,
    /// Memory that conversions of pictures of a width and a height take on devices of so many GiB, or on
    /// usual ones, with the models in a folder.
    pub demands: fn(&Path, (usize, usize), Option<u64>) -> Demands,
}

impl WeightsSpec {
    /// The models that have to be brought: all that are read together, or of several the one that is called
    /// `chosen`, without a choice the first. Empty where none is called so.
    pub fn needed(&self, chosen: Option<&str>) -> &'static [Published] {
        let one = match (self.needs, chosen) {
            (Needs::All, _) => return self.models,
            (Needs::One, None) => self.models.first(),
            (Needs::One, Some(name)) => self.models.iter().find(|model| model.name == name),
        };
        one.map_or(&[], std::slice::from_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn named(name: &'static str) -> Published {
        let (title, repository, files) = (name, name, &[]);
        Published {
            name,
            title,
            repository,
            files,
            bytes: 1,
            licence: Licence::APACHE_2_0,
            pin: None,
        }
    }

    static MODELS: [Published; 3] = [named("small"), named("base"), named("large")];

    #[test]
    fn of_models_that_are_instead_of_each_other_one_is_needed() {
        let needed = |needs, chosen| {
            let spec = WeightsSpec {
                models: &MODELS,
                needs,
                recognise: |_| None,
                examine: |_, _, _| Vec::new(),
                stages: |_| Vec::new(),
                demands: |_, _, _| Ok(Vec::new()),
            };
            spec.needed(chosen).iter().map(|model| model.name).collect::<Vec<_>>()
        };
        assert_eq!(needed(Needs::All, None), ["small", "base", "large"]);
        assert_eq!(needed(Needs::All, Some("base")), ["small", "base", "large"]);
        assert_eq!(needed(Needs::One, None), ["small"]);
        assert_eq!(needed(Needs::One, Some("large")), ["large"]);
        assert_eq!(needed(Needs::One, Some("huge")), [""; 0]);
    }

    #[test]
    fn what_is_forbidden_is_told_before_what_has_conditions() {
        let of = |name, commercial| {
            let licence = Licence { name: "a licence", commercial, gated: false };
            Published { licence, ..named(name) }
        };
        let models = [
            of("free", Commercial::Allowed),
            of("conditional", Commercial::Conditional),
            of("academic", Commercial::Forbidden),
        ];
        let warnings = licence_warnings(&models.each_ref());
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].contains("academic are not for commercial use"), "{warnings:?}");
        assert!(warnings[1].contains("conditional"), "{warnings:?}");
    }
}
