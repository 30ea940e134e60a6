//! Where the pipelines take their noise from.

use std::collections::VecDeque;

use candle_core::{Device, Result, Tensor, bail};
use parallax_nn::noise::Generator;

/// Where in a clip noise goes: the first frame and the top left corner of the tensor drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Site {
    /// Frame of the clip.
    pub frame: usize,
    /// Row of the picture, in rows of the tensor.
    pub row: usize,
    /// Column of the picture, in columns of the tensor.
    pub column: usize,
}

impl Site {
    /// The top left of a frame.
    pub fn frame(frame: usize) -> Self {
        Self { frame, ..Self::default() }
    }
}

/// A source of standard normal noise, asked in the reference's order.
///
/// Depth draws its noise augmentation (N, 3, H, W), then the noise of its windows (window, 4, h, w).
/// Inpainting draws, for each tile of each chunk, a noise augmentation (F, 3, H, W) that it scales by
/// zero, then the noise of the latents (F, 4, h, w), then as much again for each step, which it does not
/// use.
pub trait Noise {
    /// The noise at `site`, f32; sources that are streams give their next, wherever it goes.
    fn draw(&mut self, site: Site, shape: &[usize], device: &Device) -> Result<Tensor>;

    /// Whether noise belongs to its place, so that it can be drawn again.
    fn placed(&self) -> bool {
        false
    }

    /// Passes over the next tensor.
    fn skip(&mut self, shape: &[usize]) -> Result<()> {
        self.draw(Site::default(), shape, &Device::Cpu).map(drop)
    }
}

impl Noise for Generator {
    fn draw(&mut self, _site: Site, shape: &[usize], device: &Device) -> Result<Tensor> {
        self.randn(shape, device)
    }
}

/// Noise that was drawn elsewhere, given out in order; what is passed over was not recorded.
#[derive(Debug, Clone, Default)]
pub struct Recorded(pub VecDeque<Tensor>);

impl Noise for Recorded {
    fn draw(&mut self, _site: Site, shape: &[usize], device: &Device) -> Result<Tensor> {
        match self.0.pop_front() {
            Some(noise) if noise.dims() == shape => noise.to_device(device),
            Some(noise) => bail!("recorded noise {:?} where {shape:?} is drawn", noise.dims()),
            None => bail!("no recorded noise left where {shape:?} is drawn"),
        }
    }

    fn skip(&mut self, _shape: &[usize]) -> Result<()> {
        Ok(())
    }
}

/// Noise that belongs to places: a value follows from the seed, frame, channel, row and column alone, so
/// tiles and chunks that share a place share its noise, and a clip can be entered anywhere.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    seed: u64,
}

/// PyTorch draws in blocks of this many; a row in whole blocks starts the same whatever its length.
const BLOCK: usize = 16;

impl Field {
    /// The field of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Another field of the same seed.
    pub(crate) fn apart(self, which: u64) -> Self {
        Self { seed: mix(self.seed ^ mix(which)) }
    }

    /// The first `columns` values of a row, or more.
    fn row(&self, frame: usize, shape: (usize, usize), row: usize, columns: usize) -> Vec<f32> {
        let (channels, channel) = shape;
        let place = [channels, frame, channel, row];
        let seed = place.iter().fold(mix(self.seed), |seed, &v| mix(seed ^ v as u64));
        // The generator takes the low half.
        Generator::new(seed >> 32).normal_f32(columns.next_multiple_of(BLOCK))
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014) after its increment.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Noise for Field {
    fn draw(&mut self, site: Site, shape: &[usize], device: &Device) -> Result<Tensor> {
        let &[frames, channels, height, width] = shape else {
            bail!("noise of shape {shape:?} is not frames, channels, rows and columns")
        };
        let mut out = Vec::with_capacity(frames * channels * height * width);
        for frame in site.frame..site.frame + frames {
            for channel in 0..channels {
                for row in site.row..site.row + height {
                    let values = self.row(frame, (channels, channel), row, site.column + width);
                    out.extend_from_slice(&values[site.column..site.column + width]);
                }
            }
        }
        Tensor::from_vec(out, shape, &Device::Cpu)?.to_device(device)
    }

    fn placed(&self) -> bool {
        true
    }

    fn skip(&mut self, _shape: &[usize]) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_the_same_from_every_tile_and_chunk() {
        let mut field = Field::new(7);
        let whole = field.draw(Site::default(), &[5, 4, 20, 37], &Device::Cpu).unwrap();
        let site = Site { frame: 2, row: 6, column: 11 };
        let part = field.draw(site, &[3, 4, 9, 19], &Device::Cpu).unwrap();
        let want =
            whole.narrow(0, 2, 3).unwrap().narrow(2, 6, 9).unwrap().narrow(3, 11, 19).unwrap();
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(flat(&part), flat(&want));
        let values = flat(&whole);
        let count = values.len() as f32;
        let mean = values.iter().sum::<f32>() / count;
        let square = values.iter().map(|v| v * v).sum::<f32>() / count;
        assert!(mean.abs() < 0.03 && (square - 1.0).abs() < 0.05, "{mean} {square}");
        let other = Field::new(8).draw(Site::default(), &[5, 4, 20, 37], &Device::Cpu).unwrap();
        assert_ne!(flat(&other), values);
        assert!(field.draw(Site::default(), &[3, 4], &Device::Cpu).is_err());
    }
}
