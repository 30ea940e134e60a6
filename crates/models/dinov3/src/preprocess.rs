//! Pictures as the network takes them: their sizes, how they are resampled, and normalisation.
//!
//! As `DINOv3ViTImageProcessorFast` has it: resampled as fractions of full light, not as bytes, linearly over all
//! that a sample of the result covers.

use candle_core::{Device, Result, Tensor, bail};
use rayon::prelude::*;
use serde::Deserialize;

/// Sides and pixels beyond which a picture is too large for any use here: 16,384 patches of 16 pixels.
const MOST_PIXELS: usize = 2048 * 2048;

/// Pillow's number of linear resampling.
const LINEAR: u32 = 2;

/// How large pictures become. By transformers' `size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Size {
    /// This, whatever their shape was.
    Squash {
        /// Rows.
        height: usize,
        /// Samples of a row.
        width: usize,
    },
    /// Of their own shape, the shorter side being this.
    Shortest {
        /// The shorter side.
        shortest_edge: usize,
    },
}

impl Size {
    /// The size for a picture of (height, width).
    ///
    /// # Errors
    /// When it is empty or larger than 4 million pixels.
    pub fn of(self, (height, width): (usize, usize)) -> Result<(usize, usize)> {
        let (h, w) = match self {
            Self::Squash { height, width } => (height, width),
            Self::Shortest { shortest_edge: edge } => {
                let (short, long) = (height.min(width).max(1), height.max(width));
                // Cut, not rounded, as torchvision has it.
                let other = edge.saturating_mul(long) / short;
                if height <= width { (edge, other) } else { (other, edge) }
            }
        };
        if h == 0 || w == 0 || h.saturating_mul(w) > MOST_PIXELS {
            bail!(
                "a picture of {width}x{height} as {w}x{h}: allowed are 1 to {MOST_PIXELS} pixels"
            );
        }
        Ok((h, w))
    }
}

/// A `preprocessor_config.json`. What a file is silent about is as transformers has it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Preprocessing {
    /// How large pictures become.
    pub size: Size,
    /// Mean of red, green and blue of full light.
    pub image_mean: [f32; 3],
    /// Their deviation.
    pub image_std: [f32; 3],
    /// Pillow's number of the resampling: 2, linear.
    pub resample: u32,
}

impl Default for Preprocessing {
    fn default() -> Self {
        Self {
            size: Size::Squash { height: 224, width: 224 },
            image_mean: [0.485, 0.456, 0.406],
            image_std: [0.229, 0.224, 0.225],
            resample: LINEAR,
        }
    }
}

impl Preprocessing {
    /// Checks what a file may say that is not done here.
    ///
    /// # Errors
    /// Names the setting, what was found and what is allowed.
    pub(crate) fn validate(&self) -> Result<()> {
        if self.resample != LINEAR {
            bail!("resample {}: allowed is {LINEAR}, linear", self.resample);
        }
        if !self.image_std.iter().all(|&std| std > 0.0) {
            bail!("image_std {:?}: allowed are numbers above 0", self.image_std);
        }
        self.size.of((1, 1)).map(drop)
    }
}

/// One sample of the result: the first of its sources and their weights.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// A picture's red, green and blue in 0 to 1, row by row, of (height, width), as the network's input
/// (1, 3, h, w).
///
/// # Errors
/// When a channel has another number of samples than the picture, or the result's size is refused.
pub fn normalised(
    channels: [&[f32]; 3],
    (height, width): (usize, usize),
    preprocessing: &Preprocessing,
) -> Result<Tensor> {
    if width * height == 0 || channels.iter().any(|c| c.len() != width * height) {
        bail!("a picture of {width}x{height} whose channels have another number of samples");
    }
    let (h, w) = preprocessing.size.of((height, width))?;
    let (columns, rows) = (taps(width, w), taps(height, h));
    let mut data = vec![0f32; 3 * w * h];
    for (i, (out, channel)) in data.chunks_exact_mut(w * h).zip(channels).enumerate() {
        let (mean, deviation) = (preprocessing.image_mean[i], preprocessing.image_std[i]);
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
            out.iter_mut().for_each(|o| *o = (*o - mean) / deviation);
        });
    }
    Tensor::from_vec(data, (1, 3, h, w), &Device::Cpu)
}

/// A triangle over each sample of the result, at least as wide as two samples of either; beyond the border
/// nothing counts (torch's `antialias`).
fn taps(input: usize, output: usize) -> Vec<Taps> {
    let step = input as f64 / output as f64;
    let stretch = step.max(1.0);
    let tap = |i: usize| {
        let centre = (i as f64 + 0.5) * step;
        let first = ((centre - stretch + 0.5) as isize).max(0) as usize;
        let end = ((centre + stretch + 0.5) as usize).min(input);
        let weight = |at: usize| 1.0 - ((at as f64 + 0.5 - centre).abs() / stretch).min(1.0);
        let weights: Vec<f64> = (first..end).map(weight).collect();
        let total: f64 = weights.iter().sum();
        Taps { first, weights: weights.into_iter().map(|w| (w / total) as f32).collect() }
    };
    (0..output).map(tap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_torchvision() {
        let squash = Size::Squash { height: 224, width: 160 };
        assert_eq!(squash.of((1080, 1920)).unwrap(), (224, 160));
        let shortest = Size::Shortest { shortest_edge: 224 };
        assert_eq!(shortest.of((360, 640)).unwrap(), (224, 398));
        assert_eq!(shortest.of((641, 359)).unwrap(), (399, 224));
        assert_eq!(shortest.of((100, 100)).unwrap(), (224, 224));
        // A thread of a picture is not blown up without bounds.
        assert!(shortest.of((1, 65_535)).is_err());
        assert!(Size::Squash { height: 0, width: 224 }.of((10, 10)).is_err());
    }

    #[test]
    fn files_say_sizes_in_either_way() {
        let read = |text: &str| serde_json::from_str::<Preprocessing>(text).unwrap();
        assert_eq!(read("{}"), Preprocessing::default());
        let text = r#"{"size": {"shortest_edge": 518}, "resample": 3, "do_resize": true}"#;
        let found = read(text);
        assert_eq!(found.size, Size::Shortest { shortest_edge: 518 });
        assert!(found.validate().unwrap_err().to_string().contains("resample 3"));
        let flat = Preprocessing { image_std: [1.0, 0.0, 1.0], ..Preprocessing::default() };
        assert!(flat.validate().unwrap_err().to_string().contains("image_std"));
    }

    #[test]
    fn one_colour_stays_one_colour() {
        let (size, plain) = ((7, 5), Preprocessing::default());
        let channels = [0.25f32, 0.5, 1.0].map(|v| vec![v; 35]);
        let input = normalised([&channels[0], &channels[1], &channels[2]], size, &plain).unwrap();
        assert_eq!(input.dims(), [1, 3, 224, 224]);
        let data = input.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (i, light) in [0.25f32, 0.5, 1.0].into_iter().enumerate() {
            let want = (light - plain.image_mean[i]) / plain.image_std[i];
            assert!(data[i * 224 * 224..][..224 * 224].iter().all(|v| (v - want).abs() < 1e-5));
        }
        assert!(normalised([&channels[0], &channels[1], &[]], size, &plain).is_err());
    }
}
