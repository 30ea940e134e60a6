//! Frames as R'G'B' planes and back, for engines that think in colours.
//!
//! Nonlinear R'G'B' at luma resolution by the format's own matrix; chroma is interpolated between its
//! samples on the way there and averaged over what it covers on the way back.

use std::sync::Arc;

use parallax_frame::{Frame, VideoFormat};
use rayon::prelude::*;

use crate::matrix::Matrix;
use crate::{Error, Plane};

/// The conversion for one format.
#[derive(Debug, Clone)]
pub struct Rgb {
    format: Arc<VideoFormat>,
    matrix: Matrix,
}

impl Rgb {
    /// # Errors
    /// `Unsupported` when the format's matrix is not one of R'G'B'.
    pub fn of(format: &Arc<VideoFormat>) -> Result<Self, Error> {
        Ok(Self { format: Arc::clone(format), matrix: Matrix::of(format)? })
    }

    /// Red, green and blue of `frame`, 0 to 1, at luma size.
    ///
    /// # Panics
    /// When the frame has another format.
    pub fn planes(&self, frame: &Frame) -> [Plane; 3] {
        assert_eq!(*frame.format(), self.format, "format");
        let samples = Samples::new(frame, &self.matrix);
        let (width, height) = (self.format.width as usize, self.format.height as usize);
        let mut planes = [(); 3].map(|()| Plane::filled(width, height, 0.0));
        let [r, g, b] = &mut planes;
        r.data_mut()
            .par_chunks_mut(width)
            .zip(g.data_mut().par_chunks_mut(width))
            .zip(b.data_mut().par_chunks_mut(width))
            .enumerate()
            .for_each(|(y, ((r, g), b))| {
                for x in 0..width {
                    let [luma, cb, cr] = samples.at(x, y);
                    [r[x], g[x], b[x]] = self.matrix.rgb(luma, cb, cr);
                }
            });
        planes
    }

    /// A frame of red, green and blue, 0 to 1, shown at `pts`; values outside are clipped.
    ///
    /// # Panics
    /// When a plane is not of the format's size.
    pub fn frame(&self, planes: &[Plane; 3], pts: i64) -> Frame {
        let (width, height) = (self.format.width as usize, self.format.height as usize);
        for plane in planes {
            assert_eq!((plane.width(), plane.height()), (width, height), "plane size");
        }
        let mut out = Frame::zeroed(Arc::clone(&self.format), pts);
        let [r, g, b] = planes;
        let pixels = |x: usize, y: usize| [r, g, b].map(|p| p.row(y)[x].clamp(0.0, 1.0));
        write(&mut out, &self.matrix, pixels);
        out
    }
}

/// Writes the picture that `rgb` gives by column and row into `out`.
pub(crate) fn write(
    out: &mut Frame,
    matrix: &Matrix,
    rgb: impl Fn(usize, usize) -> [f32; 3] + Sync,
) {
    let shape = out.format().plane(0);
    let (width, height) = (shape.width, shape.height);
    let mut luma = vec![0.0f32; width * height];
    let mut cb = vec![0.0f32; width * height];
    let mut cr = vec![0.0f32; width * height];
    luma.par_chunks_mut(width)
        .zip(cb.par_chunks_mut(width))
        .zip(cr.par_chunks_mut(width))
        .enumerate()
        .for_each(|(y, ((luma, cb), cr))| {
            for x in 0..width {
                [luma[x], cb[x], cr[x]] = matrix.ycbcr(rgb(x, y));
            }
        });
    out.set_plane_f32(0, &luma);
    if out.format().pixels.chroma().planes() == 1 {
        return;
    }
    let shifts = out.format().pixels.chroma().shifts();
    for (index, full) in [(1, cb), (2, cr)] {
        let chroma = out.format().plane(index);
        let mut reduced = vec![0.0f32; chroma.width * chroma.height];
        reduced.par_chunks_mut(chroma.width).enumerate().for_each(|(y, row)| {
            for (x, value) in row.iter_mut().enumerate() {
                *value = mean(&full, (width, height), (x, y), shifts);
            }
        });
        out.set_plane_f32(index, &reduced);
    }
}

/// Mean of the luma-sized samples around one chroma sample: 1-2-1 around its even column when
/// halved horizontally, plain over its rows.
fn mean(full: &[f32], size: (usize, usize), (x, y): (usize, usize), shifts: (u32, u32)) -> f32 {
    let (width, height) = size;
    let rows = 1usize << shifts.1;
    let mut sum = 0.0;
    for row in 0..rows {
        let start = ((y << shifts.1) + row).min(height - 1) * width;
        let centre = x << shifts.0;
        sum += if shifts.0 == 0 {
            full[start + centre]
        } else {
            let before = full[start + centre.saturating_sub(1)];
            let after = full[start + (centre + 1).min(width - 1)];
            0.25 * (before + after) + 0.5 * full[start + centre]
        };
    }
    sum / rows as f32
}

/// A frame's planes, sampled at luma positions with borders repeated.
pub(crate) struct Samples {
    planes: Vec<Vec<f32>>,
    size: (usize, usize),
    chroma_size: (usize, usize),
    shifts: (u32, u32),
    neutral: f32,
}

impl Samples {
    pub(crate) fn new(frame: &Frame, matrix: &Matrix) -> Self {
        let format = frame.format();
        let count = format.pixels.chroma().planes();
        let chroma = format.plane(count - 1);
        Self {
            planes: (0..count).map(|index| frame.plane_f32(index)).collect(),
            size: (format.width as usize, format.height as usize),
            chroma_size: (chroma.width, chroma.height),
            shifts: format.pixels.chroma().shifts(),
            neutral: matrix.neutral(),
        }
    }

    /// Y, Cb and Cr code values at luma column `x` and row `y`.
    pub(crate) fn at(&self, x: usize, y: usize) -> [f32; 3] {
        let (x, y) = (x.min(self.size.0 - 1), y.min(self.size.1 - 1));
        let luma = self.planes[0][y * self.size.0 + x];
        if self.planes.len() < 3 {
            return [luma, self.neutral, self.neutral];
        }
        let (cx, cy) = (x >> self.shifts.0, y >> self.shifts.1);
        let i = cy * self.chroma_size.0 + cx;
        // Odd columns lie halfway between two chroma samples.
        let next =
            if x & self.shifts.0 as usize == 1 && cx + 1 < self.chroma_size.0 { i + 1 } else { i };
        let chroma = |plane: &[f32]| 0.5 * (plane[i] + plane[next]);
        [luma, chroma(&self.planes[1]), chroma(&self.planes[2])]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parallax_frame::{Chroma, Colour, PixelFormat};

    #[test]
    fn colours_survive_the_way_there_and_back() {
        for (chroma, bits) in [
            (Chroma::Gray, 8),
            (Chroma::Yuv420, 8),
            (Chroma::Yuv420, 10),
            (Chroma::Yuv422, 12),
            (Chroma::Yuv444, 8),
        ] {
            let pixels = PixelFormat::new(chroma, bits).unwrap();
            let colour = Colour::default();
            let format = Arc::new(VideoFormat { width: 7, height: 5, pixels, colour });
            let rgb = Rgb::of(&format).unwrap();
            let gray = chroma == Chroma::Gray;
            let value = |i: usize| if gray { 0.4 } else { [0.25, 0.5, 0.75][i] };
            let planes = [0, 1, 2].map(|i| Plane::filled(7, 5, value(i)));
            let frame = rgb.frame(&planes, 9);
            assert_eq!(frame.pts, 9);
            for (i, plane) in rgb.planes(&frame).iter().enumerate() {
                for v in plane.data() {
                    assert!((v - value(i)).abs() < 0.006, "{chroma:?} {bits}: {v}");
                }
            }
        }
    }

    #[test]
    fn a_format_without_colours_of_its_own_is_refused() {
        let colour = Colour { matrix: Some("ictcp".into()), ..Colour::default() };
        let format = VideoFormat { width: 2, height: 2, pixels: PixelFormat::YUV420P, colour };
        assert!(Rgb::of(&Arc::new(format)).is_err());
    }
}
