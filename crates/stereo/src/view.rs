//! Depth and a frame become the right eye: the renderer behind every engine that has depth.
//!
//! The left eye is always the source itself, so the whole parallax is put into the right eye. The
//! holes are filled classically; an engine that can do better replaces them with [`crate::blend`],
//! for which [`View`] carries the mask.

use std::sync::Arc;

use parallax_frame::{Frame, VideoFormat};
use rayon::prelude::*;

use crate::fill::soften;
use crate::resample::resize;
use crate::{Error, Geometry, Plane, Warp};

/// A rendered right eye.
#[derive(Debug, Clone)]
pub struct View {
    /// The right eye with its holes filled from the background.
    pub frame: Frame,
    /// What the left eye did not see: 0 (warped source) to 1 (invented), at luma size.
    pub mask: Plane,
}

/// Renders right eyes for one clip, reusing its buffers.
#[derive(Debug)]
pub struct ViewSynthesis {
    geometry: Geometry,
    disparity: Plane,
    warp: Warp,
}

impl ViewSynthesis {
    /// A renderer for frames of `format`.
    ///
    /// # Errors
    /// `Unsupported` when the geometry is out of range.
    pub fn new(format: &Arc<VideoFormat>, geometry: Geometry) -> Result<Self, Error> {
        geometry.validate()?;
        let (width, height) = (format.width as usize, format.height as usize);
        Ok(Self {
            geometry,
            disparity: Plane::filled(width, height, 0.0),
            warp: Warp::new(width, height),
        })
    }

    /// The right eye of `frame` and its occlusion mask. `depth` is 0 (farthest) to 1 (nearest),
    /// at any size; values outside are clipped and NaN counts as the convergence depth.
    ///
    /// # Errors
    /// `Unsupported` when the frame has another size than the clip.
    pub fn render(&mut self, frame: &Frame, depth: &Plane) -> Result<View, Error> {
        let frame = self.right_eye(frame, depth)?;
        Ok(View { frame, mask: self.warp.mask().clone() })
    }

    /// As [`ViewSynthesis::render`], without a copy of the mask.
    ///
    /// # Errors
    /// As [`ViewSynthesis::render`].
    pub fn right_eye(&mut self, frame: &Frame, depth: &Plane) -> Result<Frame, Error> {
        let (width, height) = (self.disparity.width(), self.disparity.height());
        let format = frame.format();
        if (format.width as usize, format.height as usize) != (width, height) {
            return Err(Error::Unsupported(format!(
                "frame of {}x{} in a clip of {width}x{height}",
                format.width, format.height
            )));
        }
        let resized;
        let depth = if (depth.width(), depth.height()) == (width, height) {
            depth
        } else {
            resized = resize(depth, width, height);
            &resized
        };
        let geometry = self.geometry;
        self.disparity
            .data_mut()
            .par_chunks_mut(width)
            .zip(depth.data().par_chunks(width))
            .for_each(|(disparity, depth)| {
                for (out, &depth) in disparity.iter_mut().zip(depth) {
                    let depth = if depth.is_nan() { geometry.convergence } else { depth };
                    *out = geometry.disparity_px(depth.clamp(0.0, 1.0), width as f32);
                }
            });
        self.warp.splat(&self.disparity);
        self.warp.fill();
        let mut right = self.warp.frame(frame);
        soften(&mut right, self.warp.mask());
        Ok(right)
    }
}
