//! Depth networks: their options, and the choice of an engine by what is there.

use std::path::PathBuf;

use clap::Args;
use parallax_catalogue::{Automatic, automatic};
use parallax_engine_spec::{Choices, Device, Published};

use crate::weights;

/// How a depth network sees a film.
#[derive(Debug, Args)]
pub(crate) struct NetworkArgs {
    /// Which model of the engines `depth-anything` and `video-depth-anything`, by the name that `weights
    /// fetch` brings it by. Defaults to the first whose weights are there.
    #[arg(long, value_name = "MODEL")]
    pub(crate) depth_model: Option<String>,

    /// Shorter side in pixels of the picture that those engines see, 140 to 1036: larger sees finer things
    /// and takes longer, with the square. Defaults to 280 on the processor and 518 on a GPU.
    #[arg(long, value_name = "PIXELS")]
    pub(crate) depth_size: Option<u32>,

    /// Takes relief from what is near and gives it to what is far (above 0), or the other way round: how
    /// far the camera of those engines steps back, -3 to 3. 0 changes nothing.
    #[arg(long, value_name = "CURVE", allow_negative_numbers = true)]
    pub(crate) depth_curve: Option<f32>,

    /// Those engines look at every so many-th frame, 1 to 8, and what moves between carries its depth along:
    /// faster on slow machines.
    #[arg(long, value_name = "FRAMES")]
    pub(crate) depth_every: Option<u32>,
}

impl NetworkArgs {
    /// These choices among the others.
    pub(crate) fn among(&self, choices: Choices) -> Choices {
        Choices {
            model: self.depth_model.clone(),
            depth_size: self.depth_size,
            depth_curve: self.depth_curve,
            depth_every: self.depth_every,
            ..choices
        }
    }
}

/// The folder of the models: the one that is named, or else the user's own where there is one.
pub(crate) fn weights_folder(named: Option<&PathBuf>) -> Option<PathBuf> {
    let own = || weights::folder(None).ok().filter(|folder| folder.is_dir());
    named.cloned().or_else(own)
}

/// The best engine for what is there, and a line that says which and why.
pub(crate) fn chosen(weights: Option<&PathBuf>, device: Device) -> (Automatic, String) {
    let folder = weights_folder(weights);
    let choice = automatic(folder.as_deref(), device);
    let Automatic { engine, model, better } = choice;
    let name = engine.name;
    let why = match (model, &folder) {
        (Some(Published { title, .. }), Some(folder)) => {
            format!("engine {name}: {title} is in {}", folder.display())
        }
        _ => format!("engine {name}, a preview: no depth network is here"),
    };
    let how = better.map(|Published { name, bytes, .. }| {
        format!("; better: `parallax weights fetch {name}` ({} MB)", bytes.div_ceil(1_000_000))
    });
    (choice, why + how.as_deref().unwrap_or_default())
}
