//! Pictures as the networks take them: their sizes, how they are resampled, and normalisation.

use candle_core::{Device, Result, Tensor, bail};
use rayon::prelude::*;

/// Mean and deviation of the pictures that the encoder was trained on, in 0 to 1, of red, green and blue.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

/// How the size of a network's input follows from a picture's. All keep its shape as nearly as whole
/// patches can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeRule {
    /// The shorter side becomes this: Depth Anything V1 and V2.
    Shorter(usize),
    /// The shorter side becomes this, less for pictures wider than 16:9, so that no input is larger than
    /// theirs: Video Depth Anything.
    ShorterUpTo16To9(usize),
    /// The longer side becomes this: Depth Anything 3.
    Longer(usize),
}

impl SizeRule {
    /// Width and height of the input for a picture of `width` x `height`, multiples of `patch`.
    pub fn size(self, (width, height): (usize, usize), patch: usize) -> (usize, usize) {
        let (long, short) = (width.max(height).max(1) as f64, width.min(height).max(1) as f64);
        let whole = |side: f64| ((side / patch as f64).round_ties_even() as usize).max(1) * patch;
        let (scale, least) = match self {
            Self::Shorter(side) => (side as f64 / short, side),
            Self::ShorterUpTo16To9(side) => {
                let ratio = long / short;
                let side =
                    if ratio > 1.78 { whole((side as f64 * 1.777 / ratio).floor()) } else { side };
                (side as f64 / short, side)
            }
            Self::Longer(side) => (side as f64 / long, 0),
        };
        let side = |side: usize| {
            let wanted = side as f64 * scale;
            let near = whole(wanted);
            if near < least { (wanted / patch as f64).ceil() as usize * patch } else { near }
        };
        (side(width), side(height))
    }
}

/// How pictures are resampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resampling {
    /// Cubic convolution (A = -0.75) of the four nearest samples: OpenCV's `INTER_CUBIC`, which aliases
    /// where it shrinks, as the authors' programs do.
    Cubic,
    /// Cubic convolution (A = -0.5) stretched over all that a sample of the result covers: Pillow's
    /// `BICUBIC`.
    Antialiased,
}

/// One sample of the result: the first of its sources and their weights.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// A picture's red, green and blue in 0 to 1, row by row, as the network's input (1, 3, h, w).
///
/// # Errors
/// When a channel has another number of samples than the picture.
pub fn network_input(
    channels: [&[f32]; 3],
    (width, height): (usize, usize),
    (w, h): (usize, usize),
    resampling: Resampling,
) -> Result<Tensor> {
    if width * height * w * h == 0 || channels.iter().any(|c| c.len() != width * height) {
        bail!("a picture of {width}x{height} as {w}x{h}");
    }
    let (columns, rows) = (resampling.taps(width, w), resampling.taps(height, h));
    let mut data = vec![0f32; 3 * w * h];
    for ((out, channel), i) in data.chunks_exact_mut(w * h).zip(channels).zip(0..) {
        let mut across = vec![0f32; w * height];
        across.par_chunks_mut(w).zip(channel.par_chunks(width)).for_each(|(out, line)| {
            for (out, taps) in out.iter_mut().zip(&columns) {
                let from = &line[taps.first..][..taps.weights.len()];
                *out = from.iter().zip(&taps.weights).map(|(v, w)| v * w).sum();
            }
        });
        out.par_chunks_mut(w).zip(&rows).for_each(|(out, taps)| {
            for (k, weight) in taps.weights.iter().enumerate() {
                let line = &across[(taps.first + k) * w..][..w];
                out.iter_mut().zip(line).for_each(|(o, v)| *o += weight * v);
            }
            out.iter_mut().for_each(|o| *o = (*o - MEAN[i]) / DEVIATION[i]);
        });
    }
    Tensor::from_vec(data, (1, 3, h, w), &Device::Cpu)
}

impl Resampling {
    fn taps(self, input: usize, output: usize) -> Vec<Taps> {
        let step = input as f64 / output as f64;
        let (a, stretch) = match self {
            Self::Cubic => (-0.75, 1.0),
            Self::Antialiased => (-0.5, step.max(1.0)),
        };
        let tap = |i: usize| {
            let centre = (i as f64 + 0.5) * step - 0.5;
            let from = (centre - 2.0 * stretch).ceil() as isize;
            let to = (centre + 2.0 * stretch).floor() as isize;
            let inside = |at: isize| at.clamp(0, input as isize - 1) as usize;
            let (first, last) = (inside(from), inside(to));
            let mut weights = vec![0f64; last - first + 1];
            for at in from..=to {
                let weight = cubic((at as f64 - centre).abs() / stretch, a);
                // The border's sample stands in for those beyond it, or they do not count.
                match self {
                    Self::Cubic => weights[inside(at) - first] += weight,
                    Self::Antialiased if inside(at) as isize == at => {
                        weights[inside(at) - first] += weight;
                    }
                    Self::Antialiased => {}
                }
            }
            let total: f64 = weights.iter().sum();
            Taps { first, weights: weights.into_iter().map(|w| (w / total) as f32).collect() }
        };
        (0..output).map(tap).collect()
    }
}

/// Keys' kernel at a distance of `x` samples.
fn cubic(x: f64, a: f64) -> f64 {
    if x < 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}
