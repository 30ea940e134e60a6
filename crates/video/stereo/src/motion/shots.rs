//! Where shots begin, for engines that must not look across a cut.

use parallax_frame::Frame;

use super::look::Look;

/// How much plainer than needed a cut is on which pictures of other sizes agree.
const PLAINLY: f32 = 1.25;

/// Tells the first frame of each shot.
///
/// # Example
/// ```
/// use std::sync::Arc;
///
/// use parallax_stereo::Shots;
/// # use parallax_frame::{Chroma, Colour, Frame, PixelFormat, VideoFormat};
/// # let pixels = PixelFormat::new(Chroma::Yuv420, 8)?;
/// # let format = Arc::new(VideoFormat { width: 160, height: 96, pixels, colour: Colour::default() });
///
/// // Stripes, upright or not.
/// let frame = |upright: bool| {
///     let mut frame = Frame::zeroed(format.clone(), 0);
///     for (i, luma) in frame.plane_mut(0).iter_mut().enumerate() {
///         let along = if upright { i % 160 } else { i / 160 };
///         *luma = if along % 40 < 20 { 40 } else { 200 };
///     }
///     frame
/// };
/// let mut shots = Shots::default();
/// let cuts: Vec<bool> = [true, true, false, false].map(|upright| shots.begins(&frame(upright))).into();
/// assert_eq!(cuts, [false, false, true, false]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Shots {
    last: Option<Look>,
    margin: f32,
}

impl Default for Shots {
    fn default() -> Self {
        Self { last: None, margin: 1.0 }
    }
}

impl Shots {
    /// Tells only shots that everybody else will tell too, who may see the film in another size.
    pub fn plain() -> Self {
        Self { margin: PLAINLY, ..Self::default() }
    }

    /// Takes the next frame of a clip; true when it begins another shot than the frame before.
    pub fn begins(&mut self, frame: &Frame) -> bool {
        let look = Look::of(frame);
        let after = |last: &Look| look.is_cut_after(last, &look.flow_to(last), self.margin);
        let cut = self.last.as_ref().is_some_and(after);
        self.last = Some(look);
        cut
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parallax_frame::{Colour, PixelFormat, VideoFormat};

    use super::*;

    /// Blobs that move by `shift`; `scene` decides where and how bright they are.
    fn frame(scene: usize, shift: usize) -> Frame {
        let format = VideoFormat {
            width: 160,
            height: 96,
            pixels: PixelFormat::YUV420P,
            colour: Colour::default(),
        };
        let mut frame = Frame::zeroed(Arc::new(format), 0);
        let bright = |x: usize, y: usize| {
            let (x, y) = ((x + shift) / 16, y / 16);
            30.0 + ((x * 7 + y * 11 + scene * 31) % (5 + 3 * scene)) as f32 * 20.0
        };
        let values: Vec<f32> = (0..160 * 96).map(|i| bright(i % 160, i / 160)).collect();
        frame.set_plane_f32(0, &values);
        frame
    }

    #[test]
    fn a_shot_begins_where_the_picture_changes_and_not_where_it_moves() {
        let mut shots = Shots::default();
        let told: Vec<bool> = [(0, 0), (0, 2), (0, 4), (2, 4), (2, 6)]
            .iter()
            .map(|&(scene, shift)| shots.begins(&frame(scene, shift)))
            .collect();
        assert_eq!(told, [false, false, false, true, false]);
    }
}
