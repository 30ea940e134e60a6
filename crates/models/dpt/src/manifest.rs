//! The models of the family: where they are published, and how their folders look.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use parallax_weights::{Checkpoint, Entry, Error, Manifest, Part, config};

use crate::config::{Config, Positions};
use crate::layout::Layout;
use crate::settings::Settings;

/// The file of transformers' folders that says what network they hold.
const SETTINGS: Part = Part { name: "network", places: &[("", "config.json")] };

/// A published network.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    /// Where it is published. The last of its files has the weights.
    pub manifest: Manifest,
    /// The names of its tensors.
    pub layout: Layout,
}

impl Model {
    /// What transformers' classes open: a configuration and weights.
    const fn of_transformers(name: &'static str, repository: &'static str) -> Self {
        let files: &[&[&str]] = &[&["config.json"], &["model.safetensors"]];
        Self { manifest: Manifest { name, repository, files }, layout: Layout::Transformers }
    }

    const fn video(
        name: &'static str,
        repository: &'static str,
        files: &'static [&'static [&'static str]],
    ) -> Self {
        Self { manifest: Manifest { name, repository, files }, layout: Layout::Video }
    }

    /// The file with the weights of the model in `folder`: the first there is of those that are known, or
    /// the first that is known.
    pub fn weights_file(&self, folder: &Path) -> PathBuf {
        let paths = self.manifest.files.last().copied().unwrap_or_default();
        let there = paths.iter().map(|path| folder.join(path)).find(|path| path.is_file());
        there.unwrap_or_else(|| folder.join(paths.first().copied().unwrap_or_default()))
    }

    /// Whether every file of the model is in `folder`.
    pub fn is_there(&self, folder: &Path) -> bool {
        let files = self.manifest.files.iter();
        files.clone().all(|paths| paths.iter().any(|path| folder.join(path).is_file()))
    }

    /// Opens the model in `folder`: its weights, not read yet, and the network that they are of.
    ///
    /// # Errors
    /// As `parallax_weights` has them.
    pub fn open(&self, folder: &Path, positions: Positions) -> Result<(Checkpoint, Config), Error> {
        let path = self.weights_file(folder);
        let checkpoint = Checkpoint::open_file(&path)?.recognised_by(recognise);
        let malformed = |why: String| Error::Malformed { path: path.clone(), why };
        let config = match self.layout {
            Layout::Transformers => config::<Settings>(folder, SETTINGS)?
                .network(positions)
                .map_err(|error| malformed(format!("config.json beside it: {error}")))?,
            layout => {
                let entries = checkpoint.entries();
                let shape = |name: &str| entries.get(name).map(|entry| entry.shape.as_slice());
                Config::of_shapes(layout, shape).ok_or_else(|| {
                    let found = checkpoint.describe();
                    malformed(format!(
                        "expected the weights of {}, found {found}",
                        self.manifest.name
                    ))
                })?
            }
        };
        Ok((checkpoint, config))
    }
}

/// Depth Anything V2 Small: the one to begin with.
pub const V2_SMALL: Model =
    Model::of_transformers("depth-anything-v2-small", "depth-anything/Depth-Anything-V2-Small-hf");
/// Depth Anything V2 Base.
pub const V2_BASE: Model =
    Model::of_transformers("depth-anything-v2-base", "depth-anything/Depth-Anything-V2-Base-hf");
/// Depth Anything V2 Large.
pub const V2_LARGE: Model =
    Model::of_transformers("depth-anything-v2-large", "depth-anything/Depth-Anything-V2-Large-hf");
/// Depth Anything V1 Small.
pub const V1_SMALL: Model =
    Model::of_transformers("depth-anything-v1-small", "LiheYoung/depth-anything-small-hf");
/// Depth Anything V1 Base.
pub const V1_BASE: Model =
    Model::of_transformers("depth-anything-v1-base", "LiheYoung/depth-anything-base-hf");
/// Depth Anything V1 Large.
pub const V1_LARGE: Model =
    Model::of_transformers("depth-anything-v1-large", "LiheYoung/depth-anything-large-hf");
/// Distill Any Depth Small.
pub const DISTILL_SMALL: Model = Model {
    manifest: Manifest {
        name: "distill-any-depth-small",
        repository: "xingyang1/Distill-Any-Depth",
        files: &[&["small/model.safetensors"]],
    },
    layout: Layout::DepthAnything,
};
/// Depth Anything 3's monocular network.
pub const MONO_LARGE: Model = Model {
    manifest: Manifest {
        name: "da3mono-large",
        repository: "depth-anything/DA3MONO-LARGE",
        files: &[&["model.safetensors"]],
    },
    layout: Layout::DepthAnything3,
};
/// Video Depth Anything Small.
pub const VIDEO_SMALL: Model = Model::video(
    "video-depth-anything-small",
    "depth-anything/Video-Depth-Anything-Small",
    &[&["video_depth_anything_vits.pth", "model.safetensors"]],
);
/// Video Depth Anything Base.
pub const VIDEO_BASE: Model = Model::video(
    "video-depth-anything-base",
    "depth-anything/Video-Depth-Anything-Base",
    &[&["video_depth_anything_vitb.pth", "model.safetensors"]],
);
/// Video Depth Anything Large.
pub const VIDEO_LARGE: Model = Model::video(
    "video-depth-anything-large",
    "depth-anything/Video-Depth-Anything-Large",
    &[&["video_depth_anything_vitl.pth", "model.safetensors"]],
);

/// A few words for the network that these tensors make up, if it is one of the family.
pub fn recognise(entries: &BTreeMap<String, Entry>) -> Option<String> {
    let width = |name: &str| entries.get(name).and_then(|entry| entry.shape.last()).copied();
    let size = |width: usize| match width {
        384 => "ViT-S".to_owned(),
        768 => "ViT-B".to_owned(),
        1024 => "ViT-L".to_owned(),
        other => format!("width {other}"),
    };
    if let Some(width) = width("model.backbone.pretrained.cls_token") {
        return Some(format!("Depth Anything 3 ({})", size(width)));
    }
    if let Some(width) = width("backbone.embeddings.cls_token") {
        return Some(format!("Depth Anything by transformers' names ({})", size(width)));
    }
    let width = width("pretrained.cls_token")?;
    let video = entries.keys().any(|name| name.starts_with("head.motion_modules."));
    let what = if video { "Video Depth Anything" } else { "Depth Anything" };
    Some(format!("{what} by its authors' names ({})", size(width)))
}
