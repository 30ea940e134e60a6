//! What is done to pictures while they are decoded.

use std::sync::Arc;

use parallax_frame::VideoFormat;
use serde::{Deserialize, Serialize};

use crate::media::Media;

/// A rectangle of luma samples inside the upright picture; even, so that no chroma sample is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Crop {
    /// First column.
    pub x: u32,
    /// First row.
    pub y: u32,
    /// Columns, at least 1.
    pub width: u32,
    /// Rows, at least 1.
    pub height: u32,
}

/// What to do to pictures while decoding them. Defaults to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
pub struct DecodeOptions {
    /// Make a whole picture out of each pair of fields (`bwdif`): as many frames, the same times.
    pub deinterlace: bool,
    /// Keep only this part.
    pub crop: Option<Crop>,
    /// What the shape of samples is multiplied by, where the picture kept was squeezed.
    pub stretch: Option<(u32, u32)>,
}

impl DecodeOptions {
    /// Width and height of what comes out.
    pub fn size(&self, media: &Media) -> (u32, u32) {
        let format = &media.video.format;
        self.crop.map_or((format.width, format.height), |crop| (crop.width, crop.height))
    }

    /// What `media` would be if its pictures were what comes out.
    pub fn applied(&self, media: &Media) -> Media {
        let mut media = media.clone();
        let (width, height) = self.size(&media);
        media.video.sample_aspect = self.sample_aspect(&media);
        media.video.format =
            Arc::new(VideoFormat { width, height, ..VideoFormat::clone(&media.video.format) });
        media
    }

    /// Sample aspect ratio of what comes out.
    pub fn sample_aspect(&self, media: &Media) -> (u32, u32) {
        let ((num, den), (x, y)) = (media.video.sample_aspect, self.stretch.unwrap_or((1, 1)));
        (num.saturating_mul(x), den.saturating_mul(y))
    }
}
