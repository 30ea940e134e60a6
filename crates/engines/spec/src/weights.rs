//! The weights that an engine reads.

use std::error::Error;
use std::path::Path;

use crate::{Demand, Licence, ModelReport, PartReport, StageMemory};

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
        Self { name, title, repository, files, bytes, licence }
    }

    /// The folder of the model among others: its repository's name.
    pub fn folder(&self) -> &'static str {
        self.repository.split_once('/').map_or(self.repository, |(_, name)| name)
    }
}

/// What conversions take, or why that cannot be told.
pub type Demands = Result<Vec<Demand>, Box<dyn Error + Send + Sync>>;

/// The models of an engine, and how they are looked at.
#[derive(Debug, Clone, Copy)]
pub struct WeightsSpec {
    /// The models, in the order in which they are fetched.
    pub models: &'static [Published],
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
