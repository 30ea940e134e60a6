//! The models that the engines read, as they are published.

use parallax_dpt::manifest::{self, Model};
use parallax_engine_spec::{Commercial, Licence, Published};

const MB: u64 = 1_000_000;
const MIT: Licence = Licence { name: "MIT", ..Licence::APACHE_2_0 };
const NON_COMMERCIAL: Licence =
    Licence { name: "CC-BY-NC-4.0", commercial: Commercial::Forbidden, gated: false };

const fn of(model: Model, title: &'static str, bytes: u64, licence: Licence) -> Published {
    Published::of(model.manifest, title, bytes, licence)
}

/// What sees single frames, best to begin with first.
pub(crate) static SINGLE: [Published; 8] = [
    of(manifest::V2_SMALL, "Depth Anything V2 Small", 99 * MB, Licence::APACHE_2_0),
    of(manifest::MONO_LARGE, "Depth Anything 3 Mono Large", 1400 * MB, Licence::APACHE_2_0),
    of(manifest::V1_LARGE, "Depth Anything V1 Large", 1340 * MB, Licence::APACHE_2_0),
    of(manifest::V1_BASE, "Depth Anything V1 Base", 390 * MB, Licence::APACHE_2_0),
    of(manifest::V1_SMALL, "Depth Anything V1 Small", 99 * MB, Licence::APACHE_2_0),
    of(manifest::DISTILL_SMALL, "Distill Any Depth Small", 99 * MB, MIT),
    of(manifest::V2_LARGE, "Depth Anything V2 Large", 1340 * MB, NON_COMMERCIAL),
    of(manifest::V2_BASE, "Depth Anything V2 Base", 390 * MB, NON_COMMERCIAL),
];

/// The networks of [`SINGLE`], in its order.
pub(crate) const SINGLE_MODELS: [Model; 8] = [
    manifest::V2_SMALL,
    manifest::MONO_LARGE,
    manifest::V1_LARGE,
    manifest::V1_BASE,
    manifest::V1_SMALL,
    manifest::DISTILL_SMALL,
    manifest::V2_LARGE,
    manifest::V2_BASE,
];

/// What sees windows of frames, best to begin with first.
pub(crate) static VIDEO: [Published; 3] = [
    of(manifest::VIDEO_SMALL, "Video Depth Anything Small", 116 * MB, Licence::APACHE_2_0),
    of(manifest::VIDEO_LARGE, "Video Depth Anything Large", 1540 * MB, NON_COMMERCIAL),
    of(manifest::VIDEO_BASE, "Video Depth Anything Base", 458 * MB, NON_COMMERCIAL),
];

/// The networks of [`VIDEO`], in its order.
pub(crate) const VIDEO_MODELS: [Model; 3] =
    [manifest::VIDEO_SMALL, manifest::VIDEO_LARGE, manifest::VIDEO_BASE];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lists_are_in_one_order() {
        let names = |published: &[Published]| published.iter().map(|p| p.name).collect::<Vec<_>>();
        let models = |models: &[Model]| models.iter().map(|m| m.manifest.name).collect::<Vec<_>>();
        assert_eq!(names(&SINGLE), models(&SINGLE_MODELS));
        assert_eq!(names(&VIDEO), models(&VIDEO_MODELS));
    }
}
