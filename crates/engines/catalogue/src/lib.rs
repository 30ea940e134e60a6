//! The engines that a program links, by the names that users select them by.
//!
//! A new engine is one crate, which says of itself what [`EngineSpec`] asks, and one line of [`ALL`]. The
//! command, the server and the daemon list, refuse and open engines by what is here, each with its own flags
//! and variables. Which engines there are besides the built-in ones is up to the features.

mod automatic;
mod built_in;
#[cfg(feature = "image-to-video")]
mod image_to_video;
#[cfg(feature = "perception")]
mod others;
mod selected;

use parallax_engine_spec::{
    Choice, DepthSpec, EngineSpec, InpaintSpec, Published, Spec, WeightsSpec,
};

pub use automatic::{Automatic, automatic, is_there};
pub use selected::Selected;

/// Every engine, in the order in which users see them.
pub const ALL: &[EngineSpec] = &[
    built_in::DRAFT,
    built_in::COPY,
    #[cfg(feature = "depth-anything")]
    parallax_depth_anything::SPEC,
    #[cfg(feature = "depth-anything")]
    parallax_depth_anything::VIDEO_SPEC,
    #[cfg(feature = "stereocrafter")]
    parallax_stereocrafter::SPEC,
    built_in::DEPTH_FROM,
];

/// Every depth estimator: any of them goes with any inpainter.
pub const ESTIMATORS: &[DepthSpec] = &[
    built_in::DRAFT_DEPTH,
    #[cfg(feature = "depth-anything")]
    parallax_depth_anything::DEPTH_SPEC,
    #[cfg(feature = "depth-anything")]
    parallax_depth_anything::VIDEO_DEPTH_SPEC,
    #[cfg(feature = "stereocrafter")]
    parallax_stereocrafter::DEPTH_SPEC,
    built_in::DEPTH_BROUGHT,
];

/// Every inpainter beside the fills of the warp.
pub const INPAINTERS: &[InpaintSpec] = &[
    #[cfg(feature = "stereocrafter")]
    parallax_stereocrafter::INPAINT_SPEC,
];

/// Weights that no engine reads but an operation of the server, by the name that brings those to begin with.
pub const OF_OPERATIONS: &[(&str, &WeightsSpec)] = &[
    #[cfg(feature = "segment-anything")]
    ("segment", &parallax_segment_anything::WEIGHTS),
    #[cfg(feature = "image-to-video")]
    ("animate", &image_to_video::WEIGHTS),
    #[cfg(feature = "perception")]
    ("dinov3", &others::DINOV3),
    #[cfg(feature = "perception")]
    ("captions", &others::CAPTIONS),
];

/// The engine of that name.
pub fn by_name(name: &str) -> Option<&'static EngineSpec> {
    find(ALL, name)
}

/// The one of that name among `specs`.
pub fn find<'a, P: ?Sized>(specs: &'a [Spec<P>], name: &str) -> Option<&'a Spec<P>> {
    specs.iter().find(|spec| spec.name == name)
}

/// The names of the engines that take an option.
pub fn takers(choice: Choice) -> Vec<&'static str> {
    ALL.iter().filter(|spec| spec.takes(choice)).map(|spec| spec.name).collect()
}

/// The weights of every engine that has some, and of operations.
pub fn weights() -> impl Iterator<Item = &'static WeightsSpec> {
    let engines = ALL.iter().filter_map(|spec| spec.weights);
    engines.chain(OF_OPERATIONS.iter().map(|(_, weights)| *weights))
}

/// All models, each once, in the order in which they are fetched.
pub fn models() -> Vec<&'static Published> {
    once_each(weights().flat_map(|weights| weights.models))
}

/// These models, each once.
pub fn once_each(models: impl IntoIterator<Item = &'static Published>) -> Vec<&'static Published> {
    let mut found: Vec<&'static Published> = Vec::new();
    for model in models {
        if found.iter().all(|known| known.name != model.name) {
            found.push(model);
        }
    }
    found
}

/// Engines that convert any film: they need no depth that somebody brings along.
pub fn of_any_film() -> impl Iterator<Item = &'static EngineSpec> {
    ALL.iter().filter(|spec| !spec.takes(Choice::Depth))
}

/// Engines that run wherever the program does: no weights, no choices.
pub fn self_contained() -> impl Iterator<Item = &'static EngineSpec> {
    ALL.iter().filter(|spec| spec.weights.is_none() && spec.takes.is_empty())
}
