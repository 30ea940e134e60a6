//! Which of the models a user has.

use std::path::{Path, PathBuf};

use parallax_dpt::manifest::Model;
use parallax_engine_spec::{Choice, Published, Refused};

use crate::published::{SINGLE, SINGLE_MODELS, VIDEO, VIDEO_MODELS};

/// The networks that one engine knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Those that see single frames.
    Single,
    /// Those that see windows of frames.
    Video,
}

/// A model that a user has.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    pub(crate) model: Model,
    pub(crate) published: &'static Published,
    pub(crate) folder: PathBuf,
}

impl Family {
    /// The engine's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "depth-anything",
            Self::Video => "video-depth-anything",
        }
    }

    pub(crate) fn models(self) -> impl Iterator<Item = (&'static Published, Model)> {
        let (published, models): (&'static [Published], &[Model]) = match self {
            Self::Single => (&SINGLE, &SINGLE_MODELS),
            Self::Video => (&VIDEO, &VIDEO_MODELS),
        };
        published.iter().zip(models.iter().copied())
    }

    /// The model that is called `name` in the folder of all models; without a name the first whose weights
    /// are there.
    ///
    /// # Errors
    /// When there is none, and how to get one.
    pub(crate) fn choose(self, root: &Path, name: Option<&str>) -> Result<Chosen, Refused> {
        let chosen = |(published, model): (&'static Published, Model)| {
            let folder = root.join(published.folder());
            Chosen { model, published, folder }
        };
        let there = |chosen: &Chosen| chosen.model.is_there(&chosen.folder);
        let Some(name) = name else {
            let mut models = self.models().map(chosen);
            return models.find(there).ok_or_else(|| {
                let first = self.models().next().map_or("", |(published, _)| published.name);
                Refused::of(
                    Choice::Weights,
                    format!(
                        "none of the models of {} is there; `parallax weights fetch {first}` brings one",
                        self.name()
                    ),
                )
            });
        };
        let Some(model) = self.models().find(|(published, _)| published.name == name) else {
            let names: Vec<&str> = self.models().map(|(published, _)| published.name).collect();
            let allowed = names.join(", ");
            return Err(Refused::of(Choice::Model, format!("{name:?}; allowed are {allowed}")));
        };
        let chosen = chosen(model);
        if there(&chosen) {
            return Ok(chosen);
        }
        let folder = chosen.folder.display();
        Err(Refused::of(
            Choice::Weights,
            format!("it is not whole in {folder}; `parallax weights fetch {name}` brings it"),
        ))
    }
}
