//! Depth networks: their options, and the choice of an engine by what is there.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use parallax_catalogue::{Automatic, ESTIMATORS, automatic, find};
use parallax_engine_spec::{
    Choice, Choices, DepthMode, DepthSpec, Device, Published, licence_warnings,
};
use parallax_stereo::DepthModel;

use super::refused::{told, weights_are_named};
use crate::weights::folder::folder;

/// The name of the choice that is made for the user.
pub(crate) const AUTOMATIC: &str = "auto";

/// The flags of depth networks.
const FLAGS: [(Choice, &str); 5] = [
    (Choice::Model, "--depth-model"),
    (Choice::DepthSize, "--depth-size"),
    (Choice::DepthCurve, "--depth-curve"),
    (Choice::DepthEvery, "--depth-every"),
    (Choice::DepthMode, "--depth-mode"),
];

/// How a depth network sees a film.
#[derive(Debug, Default, Args)]
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

    /// How `video-depth-anything` sees a shot: `windows` of 32 frames, aligned and blended, or `streaming`, each
    /// frame with those before it, which is faster and drifts more. Defaults to windows.
    #[arg(long, value_name = "MODE")]
    pub(crate) depth_mode: Option<DepthMode>,
}

impl NetworkArgs {
    /// These choices among the others.
    pub(crate) fn among(&self, choices: Choices) -> Choices {
        Choices {
            model: self.depth_model.clone(),
            depth_size: self.depth_size,
            depth_curve: self.depth_curve,
            depth_every: self.depth_every,
            depth_mode: self.depth_mode,
            ..choices
        }
    }
}

/// The folder of the models: the one that is named, or else the user's own where there is one.
pub(crate) fn weights_folder(named: Option<&PathBuf>) -> Option<PathBuf> {
    let own = || folder(None).ok().filter(|folder| folder.is_dir());
    named.cloned().or_else(own)
}

/// The best engine for what is there, and a line that says which and why.
pub(crate) fn chosen(
    weights: Option<&PathBuf>,
    device: Device,
    named: Option<&str>,
) -> (Automatic, String) {
    let folder = weights_folder(weights);
    let choice = automatic(folder.as_deref(), device, named);
    let Automatic { engine, model, better } = choice;
    let name = engine.name;
    let why = match (model, &folder) {
        (Some(Published { title, .. }), _) if named.is_some() => {
            format!("engine {name}: {title} is one of its models")
        }
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

/// What sees the depth, as a user names it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Estimator {
    /// The best that is there.
    Automatic,
    /// One of the catalogue.
    Named(&'static DepthSpec),
}

impl Estimator {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text == AUTOMATIC {
            return Ok(Self::Automatic);
        }
        let known = ESTIMATORS.iter().map(|spec| spec.name);
        let names = || [AUTOMATIC].into_iter().chain(known).collect::<Vec<_>>().join(", ");
        find(ESTIMATORS, text).map(Self::Named).ok_or_else(|| format!("allowed are {}", names()))
    }

    /// The one that it is, and a line that says which where it was chosen for the user.
    pub(crate) fn spec(
        self,
        weights: Option<&PathBuf>,
        device: Device,
        network: &NetworkArgs,
    ) -> (&'static DepthSpec, Option<String>) {
        match self {
            Self::Named(spec) => (spec, None),
            Self::Automatic => {
                let (choice, line) = chosen(weights, device, network.depth_model.as_deref());
                let spec = find(ESTIMATORS, choice.engine.name).unwrap_or(&ESTIMATORS[0]);
                (spec, Some(line))
            }
        }
    }
}

/// Opens an estimator for pictures of a width and a height, and tells of its licences.
///
/// # Errors
/// Names the option or the file that stands in the way.
pub(crate) fn open_estimator(
    spec: &'static DepthSpec,
    choices: &Choices,
    size: (u32, u32),
) -> Result<Arc<dyn DepthModel>> {
    for (choice, flag) in FLAGS {
        if choices.chosen(choice) && !spec.takes(choice) {
            bail!("{flag} is not for {}", spec.name);
        }
    }
    let models: Vec<_> = spec.weights.map_or(&[][..], |weights| weights.models).iter().collect();
    let weights = choices.weights.as_deref();
    weights_are_named(spec.name, &models, spec.takes(Choice::Model), weights)?;
    let prepared = (spec.select)(choices).and_then(|model| model.prepare(Some(size)));
    let opened = prepared.and_then(|prepared| {
        let licences = licence_warnings(&prepared.models());
        licences.iter().for_each(|warning| eprintln!("warning: {warning}"));
        prepared.open()
    });
    opened.map_err(|refused| told(refused, weights, choices.device))
}
