//! The picture that depth is guessed from: a box-averaged copy, at most 320 samples on a side.
//!
//! Depth cues live at this scale, and so the cost of guessing does not grow with the frame. The
//! reduction is by a whole factor, which keeps it exact and cheap.

use parallax_frame::Frame;
use rayon::prelude::*;

use crate::Plane;

/// Samples on the longer side of the working picture, at most.
const LONGEST: usize = 320;

/// A working picture with values 0 (black) to 1 (white); chroma -0.5 to 0.5.
#[derive(Debug, Clone)]
pub(crate) struct Small {
    pub(crate) luma: Plane,
    /// Cb and Cr at luma's working size; neutral in gray clips.
    pub(crate) chroma: [Plane; 2],
}

impl Small {
    /// Luma, Cb and Cr.
    pub(crate) fn channels(&self) -> [&Plane; 3] {
        [&self.luma, &self.chroma[0], &self.chroma[1]]
    }

    pub(crate) fn of(frame: &Frame) -> Self {
        let format = frame.format();
        let longest = format.width.max(format.height) as usize;
        let factor = longest.div_ceil(LONGEST);
        let (black, white) = format.colour.luma_limits(format.pixels.bits());
        let scale = 1.0 / f32::from(white - black);
        let luma = reduce(frame, 0, (factor, factor), f32::from(black), scale);
        let (width, height) = (luma.width(), luma.height());
        let chroma = if format.pixels.chroma().planes() == 1 {
            [Plane::filled(width, height, 0.0), Plane::filled(width, height, 0.0)]
        } else {
            let (sx, sy) = format.pixels.chroma().shifts();
            let factors = ((factor >> sx).max(1), (factor >> sy).max(1));
            let middle = f32::from(128u16 << (format.pixels.bits() - 8));
            [1, 2].map(|index| {
                let reduced = reduce(frame, index, factors, middle, scale);
                fit(&reduced, width, height)
            })
        };
        Self { luma, chroma }
    }
}

/// Means of `factors` blocks (clipped at the right and bottom border), `(v - offset) * scale`.
fn reduce(frame: &Frame, index: usize, (fx, fy): (usize, usize), offset: f32, scale: f32) -> Plane {
    let shape = frame.format().plane(index);
    let bytes = frame.format().pixels.sample_bytes();
    let data = frame.plane(index);
    let (width, height) = (shape.width.div_ceil(fx), shape.height.div_ceil(fy));
    let mut out = Plane::filled(width, height, 0.0);
    out.data_mut().par_chunks_mut(width).enumerate().for_each_init(
        || vec![0u32; shape.width],
        |sums, (y, row)| {
            let rows = (y * fy)..((y + 1) * fy).min(shape.height);
            let count = rows.len();
            sums.fill(0);
            for source in rows {
                let line = &data[source * shape.width * bytes..(source + 1) * shape.width * bytes];
                if bytes == 1 {
                    for (sum, &v) in sums.iter_mut().zip(line) {
                        *sum += u32::from(v);
                    }
                } else {
                    for (sum, v) in sums.iter_mut().zip(line.chunks_exact(2)) {
                        *sum += u32::from(u16::from_le_bytes([v[0], v[1]]));
                    }
                }
            }
            for (out, block) in row.iter_mut().zip(sums.chunks(fx)) {
                let mean = block.iter().sum::<u32>() as f32 / (count * block.len()) as f32;
                *out = (mean - offset) * scale;
            }
        },
    );
    out
}

/// `plane` cut or repeated to a size that it nearly has.
fn fit(plane: &Plane, width: usize, height: usize) -> Plane {
    if (plane.width(), plane.height()) == (width, height) {
        return plane.clone();
    }
    let (w, h) = (plane.width(), plane.height());
    Plane::from_fn(width, height, |x, y| plane.at(x * w / width, y * h / height))
}
