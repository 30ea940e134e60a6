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
use crate::{Error, Eyes, Fill, Geometry, Plane, Rendering, StereoPair, Warp};

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
        self.eye(frame, depth, Look { share: 1.0, mirrored: false, fill: Fill::Mirror })
    }

    /// Both eyes of `frame` at its time, drawn as `rendering` says; `depth` is as for
    /// [`ViewSynthesis::render`].
    ///
    /// # Errors
    /// As [`ViewSynthesis::render`].
    pub fn pair(
        &mut self,
        frame: Frame,
        depth: &Plane,
        rendering: Rendering,
    ) -> Result<StereoPair, Error> {
        if rendering.depth_picture {
            let right = depth_picture(&frame, depth);
            return Ok(StereoPair { left: frame, right });
        }
        let share = if rendering.eyes == Eyes::Both { 0.5 } else { 1.0 };
        let look = |mirrored| Look { share, mirrored, fill: rendering.fill };
        Ok(match rendering.eyes {
            Eyes::Right => {
                let right = self.eye(&frame, depth, look(false))?;
                StereoPair { left: frame, right }
            }
            Eyes::Left => {
                let left = self.eye(&frame, depth, look(true))?;
                StereoPair { left, right: frame }
            }
            Eyes::Both => {
                let left = self.eye(&frame, depth, look(true))?;
                StereoPair { left, right: self.eye(&frame, depth, look(false))? }
            }
        })
    }

    fn eye(&mut self, frame: &Frame, depth: &Plane, look: Look) -> Result<Frame, Error> {
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
                    let px = geometry.disparity_px(depth.clamp(0.0, 1.0), width as f32);
                    *out = look.share * px;
                }
                // The left eye is the right eye of the mirrored world.
                if look.mirrored {
                    disparity.reverse();
                }
            });
        self.warp.splat(&self.disparity);
        match look.fill {
            Fill::Stretch => self.warp.stretch(),
            Fill::Mirror => self.warp.fill(),
        }
        let mut eye =
            if look.mirrored { self.warp.frame(&mirrored(frame)) } else { self.warp.frame(frame) };
        if look.fill == Fill::Mirror {
            soften(&mut eye, self.warp.mask());
        }
        Ok(if look.mirrored { mirrored(&eye) } else { eye })
    }
}

/// How one eye is drawn.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// Share of the parallax that it carries.
    share: f32,
    /// Whether it is the left eye.
    mirrored: bool,
    fill: Fill,
}

/// `frame` with its columns in reverse.
fn mirrored(frame: &Frame) -> Frame {
    let mut out = frame.clone();
    let format = frame.format().clone();
    let bytes = format.pixels.sample_bytes();
    for index in 0..format.pixels.chroma().planes() {
        let width = format.plane(index).width;
        out.plane_mut(index).par_chunks_mut(width * bytes).for_each(|row| {
            row.reverse();
            if bytes == 2 {
                row.chunks_exact_mut(2).for_each(|sample| sample.swap(0, 1));
            }
        });
    }
    out
}

/// `depth` as a grey picture in the format and at the time of `frame`: black is farthest.
fn depth_picture(frame: &Frame, depth: &Plane) -> Frame {
    let format = frame.format().clone();
    let bits = format.pixels.bits();
    let depth = resize(depth, format.width as usize, format.height as usize);
    let (black, white) = format.colour.luma_limits(bits);
    let (offset, scale) = (f32::from(black), f32::from(white - black));
    let value = |d: &f32| offset + if d.is_nan() { 0.0 } else { d.clamp(0.0, 1.0) * scale };
    let luma: Vec<f32> = depth.data().iter().map(value).collect();
    let mut out = Frame::zeroed(format.clone(), frame.pts);
    out.set_plane_f32(0, &luma);
    for index in 1..format.pixels.chroma().planes() {
        let shape = format.plane(index);
        let grey = f32::from(128u16 << (bits - 8));
        out.set_plane_f32(index, &vec![grey; shape.width * shape.height]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use parallax_frame::{Chroma, Colour, PixelFormat};

    fn frame(bits: u8) -> Frame {
        let format = Arc::new(VideoFormat {
            width: 64,
            height: 4,
            pixels: PixelFormat::new(Chroma::Yuv444, bits).unwrap(),
            colour: Colour::default(),
        });
        let mut frame = Frame::zeroed(format, 9);
        for plane in 0..3 {
            let values: Vec<f32> = (0..256).map(|i| (16 + (i * 37 + plane) % 200) as f32).collect();
            frame.set_plane_f32(plane, &values);
        }
        frame
    }

    #[test]
    fn the_left_eye_mirrors_the_right_one() {
        for bits in [8, 10] {
            let source = frame(bits);
            let mut synthesis = ViewSynthesis::new(
                source.format(),
                Geometry { disparity_percent: 10.0, convergence: 0.2 },
            )
            .unwrap();
            let depth = Plane::from_fn(64, 4, |x, _| if (20..34).contains(&x) { 0.9 } else { 0.1 });
            let flipped = Plane::from_fn(64, 4, |x, y| depth.at(63 - x, y));
            let rendering = Rendering { eyes: Eyes::Left, ..Rendering::default() };
            let pair = synthesis.pair(source.clone(), &depth, rendering).unwrap();
            assert_eq!(pair.right, source);
            let right = synthesis.right_eye(&mirrored(&source), &flipped).unwrap();
            assert_eq!(mirrored(&pair.left), right);
            assert_ne!(pair.left, source);
        }
    }

    #[test]
    fn both_eyes_share_the_parallax() {
        let source = frame(8);
        let geometry = Geometry { disparity_percent: 10.0, convergence: 0.0 };
        let mut synthesis = ViewSynthesis::new(source.format(), geometry).unwrap();
        // 6.25 % of 64 columns: four in all, two for each eye.
        let depth = Plane::filled(64, 4, 0.625);
        let rendering = Rendering { eyes: Eyes::Both, ..Rendering::default() };
        let pair = synthesis.pair(source.clone(), &depth, rendering).unwrap();
        for y in 0..4 {
            let row = |frame: &Frame| frame.plane(0)[y * 64..(y + 1) * 64].to_vec();
            assert_eq!(row(&pair.right)[..60], row(&source)[2..62]);
            assert_eq!(row(&pair.left)[4..], row(&source)[2..62]);
        }
    }

    #[test]
    fn a_depth_picture_is_black_far_and_white_near() {
        let depth = Plane::from_fn(64, 4, |x, _| x as f32 / 63.0);
        let picture = depth_picture(&frame(10), &depth);
        let luma = picture.plane_f32(0);
        assert_eq!((luma[0], luma[63], picture.pts), (64.0, 940.0, 9));
        assert!(picture.plane_f32(2).iter().all(|&v| v == 512.0));
    }
}
