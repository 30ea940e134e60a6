//! The operations.

mod caption;
mod compare;
mod embed;
mod frames;
mod health;
mod image;
mod refused;
mod shared;
mod video;

use parallax_serving::Registry;
use parallax_serving::front::envelope::Envelope;
use parallax_serving::operations::LoadedModels;

pub use shared::Perception;

/// The earlier service's way of asking: what it calls an operation, and what the registry does. Names that the
/// server has for something else are the registry's own here.
pub const ENVELOPE: Envelope = Envelope {
    service: "STPE",
    default: "health",
    names: &[
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
    ],
    pages: &[
        "health",
        "process_video",
        "process_extracted_frames",
        "embed_text",
        "embed_image",
        "caption",
    ],
};

impl Perception {
    /// Adds every operation.
    #[must_use]
    pub fn register(&self, registry: Registry, loaded: LoadedModels) -> Registry {
        let own = || self.clone();
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
