//! The operations.

mod caption;
mod compare;
mod embed;
mod frames;
mod health;
mod image;
mod kept;
mod refused;
mod shared;
mod video;

use parallax_serving::Registry;
use parallax_serving::front::envelope::{Envelope, Read};
use parallax_serving::operations::LoadedModels;

pub use shared::Perception;

/// What the earlier service calls operations, and what the registry does: those of kept analyses last.
const NAMES: &[(&str, &str)] = &[
    ("health", health::HEALTH),
    ("memory_stats", health::MEMORY),
    ("embed_image", "embed_image"),
    ("process_frame", "process_frame"),
    ("compare_frames", "compare_frames"),
    ("process_image", "process_image"),
    ("process_video", "process_video"),
    ("process_extracted_frames", "process_extracted_frames"),
    ("caption", "caption"),
    ("embed_text", "embed_text"),
    ("get_analysis", "get_analysis"),
    ("list_videos", "list_videos"),
    ("search", "search"),
];

/// How many of them are of kept analyses.
const OF_KEPT: usize = 3;

/// The earlier service's way of asking. Names that the server has for something else are the registry's own here.
pub const ENVELOPE: Envelope = Envelope {
    service: "STPE",
    default: "health",
    names: NAMES.split_at(NAMES.len() - OF_KEPT).0,
    pages: &[
        "health",
        "process_video",
        "process_extracted_frames",
        "embed_text",
        "embed_image",
        "caption",
    ],
    reads: &[],
};

/// The same where analyses are kept.
pub const KEEPING: Envelope = Envelope {
    names: NAMES,
    reads: &[
        Read { path: "/videos", operation: "list_videos", parameter: None, numbers: &["limit"] },
        Read {
            path: "/videos/{id}",
            operation: "get_analysis",
            parameter: Some("video_id"),
            numbers: &[],
        },
    ],
    ..ENVELOPE
};

impl Perception {
    /// Adds every operation.
    #[must_use]
    pub fn register(&self, registry: Registry, loaded: LoadedModels) -> Registry {
        let own = || self.clone();
        let registry = match &self.0.shelf {
            None => registry,
            Some(shelf) => registry
                .with(kept::GetAnalysis(shelf.clone()))
                .with(kept::ListVideos(shelf.clone()))
                .with(kept::Search::new(own(), shelf.clone())),
        };
        registry
            .with(health::Health(own()))
            .with(health::MemoryStats(own(), loaded))
            .with(embed::EmbedImage(own()))
            .with(embed::ProcessFrame(own()))
            .with(compare::CompareFrames(own()))
            .with(image::ProcessImage(own()))
            .with(video::ProcessVideo(own()))
            .with(frames::ProcessExtractedFrames(own()))
            .with(caption::Caption(own()))
            .with(refused::EMBED_TEXT)
    }
}
