//! Depth and a frame become the right eye: the renderer behind every engine that has depth.
//!
//! The left eye is always the source itself, so the whole parallax is put into the right eye. The
//! holes are filled classically; an engine that can do better replaces them with [`crate::blend`],
//! for which [`View`] carries the mask.

use std::borrow::Cow;
use std::sync::Arc;

use parallax_frame::{Frame, VideoFormat};
use rayon::prelude::*;

use crate::synthesis::background_plate::Memory;
use crate::synthesis::boundary_matting::{edges, matte};
use crate::synthesis::directional_inpaint::run_on;
use crate::synthesis::edge_halo::trim;
use crate::synthesis::occlusion_fill::{blacken, mirror, soften, stretch};
use crate::synthesis::pull_push::{roles, smooth};
use crate::synthesis::resample::resize;
use crate::{
    Comfort, Error, Eyes, Fill, Geometry, Plane, Rendering, Rgb, StereoPair, Warp, Warping,
    reference,
};

/// Disparity by which what is remembered may differ from what lies behind a hole. Beyond, it is another
/// thing, and something that moves may stand before it by now.
const SAME_SURFACE_PX: f32 = 0.75;

/// A rendered right eye.
#[derive(Debug, Clone)]
pub struct View {
    /// The right eye with its holes filled from the background.
    pub frame: Frame,
    /// What the left eye did not see: 0 (warped source) to 1 (invented), at luma size.
    pub mask: Plane,
}

/// Renders right eyes for one clip, reusing its buffers.
///
/// # Example
/// A white square before a grey wall. With the wall at the screen, the square is seen further left by the
/// right eye, and what it uncovers is wall:
///
/// ```
/// use std::sync::Arc;
///
/// use parallax_stereo::{Geometry, Plane, ViewSynthesis};
/// # use parallax_frame::{Chroma, Colour, Frame, PixelFormat, VideoFormat};
/// # let pixels = PixelFormat::new(Chroma::Yuv420, 8)?;
/// # let format = Arc::new(VideoFormat { width: 64, height: 32, pixels, colour: Colour::default() });
///
/// let in_square = |x: usize, y: usize| (24..40).contains(&x) && (8..24).contains(&y);
/// let mut left = Frame::zeroed(format.clone(), 0);
/// for (i, luma) in left.plane_mut(0).iter_mut().enumerate() {
///     *luma = if in_square(i % 64, i / 64) { 235 } else { 90 };
/// }
/// let depth = Plane::from_fn(64, 32, |x, y| if in_square(x, y) { 1.0 } else { 0.0 });
///
/// // 6.25 % of 64 pixels: the nearest is 4 pixels away from the farthest.
/// let geometry = Geometry { disparity_percent: 6.25, convergence: 0.0 };
/// let view = ViewSynthesis::new(&format, geometry)?.render(&left, &depth)?;
/// let row = &view.frame.plane(0)[16 * 64..17 * 64];
/// assert_eq!((row[18], row[22], row[34], row[38]), (90, 235, 235, 90));
/// assert_eq!((view.mask.at(22, 16), view.mask.at(38, 16)), (0.0, 1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ViewSynthesis {
    geometry: Geometry,
    comfort: Option<Comfort>,
    disparity: Plane,
    warp: Warp,
    /// Room for the published warp.
    scattered: Option<reference::Splat>,
    memory: Option<Memory>,
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
            comfort: None,
            disparity: Plane::filled(width, height, 0.0),
            warp: Warp::new(width, height),
            scattered: None,
            memory: None,
        })
    }

    /// Limits parallax to what is comfortable.
    #[must_use]
    pub fn with_comfort(mut self, comfort: Option<Comfort>) -> Self {
        self.comfort = comfort;
        self
    }

    /// From now on `depth`, clipped to 0 to 1, appears at the screen.
    pub fn set_convergence(&mut self, depth: f32) {
        self.geometry.convergence = depth.clamp(0.0, 1.0);
    }

    /// Remembers a frame of the shot, so that [`Fill::Temporal`] may fill holes of others from it.
    ///
    /// # Errors
    /// As [`ViewSynthesis::render`].
    pub fn remember(&mut self, frame: &Frame, depth: &Plane) -> Result<(), Error> {
        self.check(frame)?;
        let depth = self.sized(depth);
        // Half a pixel of disparity; without any, nothing is told from anything.
        let range = self.geometry.disparity_percent / 100.0 * depth.width() as f32;
        let step = (0.5 / range.max(0.5)).min(0.25);
        match &mut self.memory {
            Some(memory) => memory.see(frame, &depth, step),
            None => self.memory = Some(Memory::new(frame, &depth, step)),
        }
        Ok(())
    }

    /// The next frame begins another shot.
    pub fn forget(&mut self) {
        self.memory = None;
    }

    /// The occlusion mask of the eye that was drawn last: 0 (warped source) to 1 (invented), at luma size;
    /// of the left eye mirrored.
    pub fn mask(&self) -> &Plane {
        self.warp.mask()
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
        self.eye(
            frame,
            depth,
            Look { share: 1.0, mirrored: false, rendering: Rendering::default() },
        )
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
        let look = |mirrored| Look { share, mirrored, rendering };
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

    fn check(&self, frame: &Frame) -> Result<(), Error> {
        let (width, height) = (self.disparity.width(), self.disparity.height());
        let format = frame.format();
        if (format.width as usize, format.height as usize) != (width, height) {
            return Err(Error::Unsupported(format!(
                "frame of {}x{} in a clip of {width}x{height}",
                format.width, format.height
            )));
        }
        Ok(())
    }

    /// `depth` at luma size.
    fn sized<'a>(&self, depth: &'a Plane) -> Cow<'a, Plane> {
        let (width, height) = (self.disparity.width(), self.disparity.height());
        if (depth.width(), depth.height()) == (width, height) {
            Cow::Borrowed(depth)
        } else {
            Cow::Owned(resize(depth, width, height))
        }
    }

    fn eye(&mut self, frame: &Frame, depth: &Plane, look: Look) -> Result<Frame, Error> {
        self.check(frame)?;
        self.place(&self.sized(depth), look);
        self.warp.splat(&self.disparity);
        let flipped = look.mirrored.then(|| mirrored(frame));
        let source = flipped.as_ref().unwrap_or(frame);
        if look.rendering.fill != Fill::Black {
            trim(&mut self.warp, source);
        }
        // The published warp has its own.
        let edges = (look.rendering.warping == Warping::Surface).then(|| edges(&self.disparity));
        let remembered = look.rendering.fill == Fill::Temporal
            && self.memory.as_ref().is_some_and(|memory| memory.serves(frame));
        let unclaimed = remembered.then(|| self.warp.near.clone());
        let mut eye = self.filled(source, look.rendering)?;
        if let Some(unclaimed) = unclaimed
            && let Some(memory) = self.memory.take()
        {
            self.recall(&memory, look, &unclaimed, &mut eye);
            self.memory = Some(memory);
        }
        if let Some(edges) = edges {
            matte(&self.warp, &edges, source, &mut eye);
        }
        Ok(if look.mirrored { mirrored(&eye) } else { eye })
    }

    /// Takes what `memory` has of the background into the holes of `eye`; `unclaimed` is -inf there.
    fn recall(&mut self, memory: &Memory, look: Look, unclaimed: &Plane, eye: &mut Frame) {
        let map = self.warp.clone();
        self.place(&memory.depth, look);
        self.warp.splat(&self.disparity);
        let flipped = look.mirrored.then(|| mirrored(&memory.frame));
        let background = self.warp.frame(flipped.as_ref().unwrap_or(&memory.frame));
        // The reference may have scattered something where no surface is.
        let open = if look.rendering.warping == Warping::Reference { 1.0 } else { 0.0 };
        let known = |i: usize| {
            let near = self.warp.near.data()[i];
            unclaimed.data()[i] == f32::NEG_INFINITY
                && map.mask.data()[i] >= open
                && (near - map.near.data()[i]).abs() <= SAME_SURFACE_PX
        };
        let format = eye.format().clone();
        let (width, bytes) = (format.width as usize, format.pixels.sample_bytes());
        for index in 0..format.pixels.chroma().planes() {
            let row = format.plane(index).width * bytes;
            let (sx, sy) = if index == 0 { (0, 0) } else { format.pixels.chroma().shifts() };
            let rows = eye.plane_mut(index).par_chunks_mut(row);
            rows.zip(background.plane(index).par_chunks(row)).enumerate().for_each(
                |(y, (out, new))| {
                    let samples = out.chunks_exact_mut(bytes).zip(new.chunks_exact(bytes));
                    for (x, (out, new)) in samples.enumerate() {
                        if known((y << sy) * width + (x << sx)) {
                            out.copy_from_slice(new);
                        }
                    }
                },
            );
        }
        self.warp = map;
    }

    /// Makes disparity of `depth`, which is at luma size.
    fn place(&mut self, depth: &Plane, look: Look) {
        let width = depth.width();
        let (geometry, comfort) = (self.geometry, self.comfort);
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
                if let Some(comfort) = comfort {
                    // Of the whole parallax, which two eyes may share.
                    let whole = width as f32 * look.share;
                    disparity.iter_mut().for_each(|px| *px = comfort.limit(*px, whole));
                }
                // The left eye is the right eye of the mirrored world.
                if look.mirrored {
                    disparity.reverse();
                }
            });
    }

    /// The right eye of `frame` by the current disparity.
    fn filled(&mut self, frame: &Frame, rendering: Rendering) -> Result<Frame, Error> {
        let runs_on = matches!(rendering.fill, Fill::Continue | Fill::Temporal);
        let open = runs_on.then(|| self.warp.near.clone());
        let roles =
            if rendering.fill == Fill::Smooth { roles(&self.warp.near) } else { Vec::new() };
        match rendering.fill {
            Fill::Black => {}
            Fill::Mirror => mirror(&mut self.warp),
            _ => stretch(&mut self.warp),
        }
        let mut eye = self.warp.frame(frame);
        match rendering.fill {
            Fill::Black => blacken(&mut eye, &self.warp.near),
            Fill::Stretch => {}
            Fill::Smooth => smooth(&mut eye, &roles),
            Fill::Continue | Fill::Temporal => open.iter().for_each(|near| run_on(&mut eye, near)),
            Fill::Mirror => soften(&mut eye, self.warp.mask()),
        }
        if rendering.warping == Warping::Reference {
            let filled = (rendering.fill != Fill::Black).then_some(&eye);
            eye = self.scattered(frame, filled)?;
        }
        Ok(eye)
    }

    /// `frame` as the published pipeline warps it, with `filled`, or else black, where nothing falls.
    fn scattered(&mut self, frame: &Frame, filled: Option<&Frame>) -> Result<Frame, Error> {
        let rgb = Rgb::of(frame.format())?;
        let source = reference::Source {
            planes: rgb.planes(frame).into(),
            disparity: self.disparity.clone(),
        };
        let (width, height) = (source.disparity.width(), source.disparity.height());
        let splat = self.scattered.get_or_insert_with(|| reference::Splat::black(3, width, height));
        splat.warp(&source);
        let Ok(planes) = <&mut [Plane; 3]>::try_from(splat.planes.as_mut_slice()) else {
            return Err(Error::Failed("a warp of other than three planes".into()));
        };
        for (out, filled) in planes.iter_mut().zip(filled.map(|f| rgb.planes(f)).iter().flatten()) {
            let samples = out.data_mut().iter_mut().zip(filled.data()).zip(splat.mask.data());
            for ((out, &filled), &mask) in samples {
                if mask >= 1.0 {
                    *out = filled;
                }
            }
        }
        // Both are of one size, and written anew for every frame.
        std::mem::swap(&mut self.warp.mask, &mut splat.mask);
        Ok(rgb.frame(planes, frame.pts))
    }
}

/// How one eye is drawn.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// Share of the parallax that it carries.
    share: f32,
    /// Whether it is the left eye.
    mirrored: bool,
    rendering: Rendering,
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
    fn the_reference_warp_shows_its_losses_and_black_holes() {
        let mut source = frame(8);
        // Clean at the edges, which only the default warp takes apart.
        let card = |i: usize| match i % 64 {
            30..40 => Some(200.0),
            26..30 | 40..44 => Some(60.0),
            _ => None,
        };
        let luma = source.plane_f32(0).into_iter().enumerate();
        let luma: Vec<f32> = luma.map(|(i, v)| card(i).unwrap_or(v)).collect();
        source.set_plane_f32(0, &luma);
        // Grey, because not every triple of code values is a colour.
        (1..3).for_each(|plane| source.set_plane_f32(plane, &[128.0; 256]));
        let geometry = Geometry { disparity_percent: 10.0, convergence: 0.0 };
        let mut synthesis = ViewSynthesis::new(source.format(), geometry).unwrap();
        // 6.25 % of 64 columns: four.
        let depth = Plane::from_fn(64, 4, |x, _| if (30..40).contains(&x) { 0.625 } else { 0.0 });
        let rendering =
            Rendering { warping: Warping::Reference, fill: Fill::Black, ..Rendering::default() };
        let right = synthesis.pair(source.clone(), &depth, rendering).unwrap().right;
        let row = |y: usize| right.plane(0)[y * 64..(y + 1) * 64].to_vec();
        let close = |a: &[u8], b: &[u8]| a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) <= 1);
        assert!(close(&row(1)[..26], &source.plane(0)[64..90]), "still: {:?}", row(1));
        assert_eq!(row(1)[36..40], [16; 4], "the hole");
        assert_eq!(row(1)[63], 16, "the last column");
        assert_eq!(row(3), [16; 64], "the last row");
        // Filled, holes and losses show what the default draws there.
        let filled = Rendering { fill: Fill::Stretch, ..rendering };
        let right = synthesis.pair(source.clone(), &depth, filled).unwrap().right;
        let plain = Rendering { warping: Warping::Surface, ..filled };
        let plain = synthesis.pair(source, &depth, plain).unwrap().right;
        let row = |frame: &Frame, y: usize| frame.plane(0)[y * 64..(y + 1) * 64].to_vec();
        assert!(close(&row(&right, 3), &row(&plain, 3)));
        assert!(close(&row(&right, 1)[36..40], &row(&plain, 1)[36..40]));
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
