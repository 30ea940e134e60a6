//! Pictures as the networks take them: a square, whatever their shape, and normalised.
//!
//! The published processor resizes bytes: torchvision's kernel, which is Pillow's `BILINEAR`, weighs them with
//! whole numbers of about 15 bits, first along rows, then along columns, and rounds after each to a byte. So does
//! this one, so that the networks see the same numbers.

use candle_core::{Device, Result, Tensor, bail};
use rayon::prelude::*;

/// Mean and deviation of the pictures that the encoder was trained on, in 0 to 1, of red, green and blue.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];

/// A picture of 8 bits.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({}x{})", self.width, self.height)
    }
}

impl Picture {
    /// Of red, green and blue, row by row.
    ///
    /// # Errors
    /// When there are not three bytes for each of its pixels, or there are no pixels.
    pub fn new((width, height): (usize, usize), rgb: Vec<u8>) -> Result<Self> {
        let bytes = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(3));
        if rgb.is_empty() || bytes != Some(rgb.len()) {
            bail!("{} bytes for a picture of {width}x{height}", rgb.len());
        }
        Ok(Self { width, height, rgb })
    }

    /// Width and height.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Red, green and blue, row by row.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }
}

/// The samples that one of the result is made of: the first, and their weights.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

/// The taps along a side, and the bits of their weights behind the point.
struct Kernel {
    taps: Vec<Taps>,
    bits: u32,
}

impl Kernel {
    fn new(input: usize, output: usize) -> Self {
        let step = input as f64 / output as f64;
        let stretch = step.max(1.0);
        let tap = |i: usize| {
            let centre = step * (i as f64 + 0.5);
            let first = (centre - stretch + 0.5).max(0.0) as usize;
            let last = ((centre + stretch + 0.5) as usize).min(input);
            let weight = |at: usize| (1.0 - ((at as f64 - centre + 0.5) / stretch).abs()).max(0.0);
            let weights: Vec<f64> = (first..last).map(weight).collect();
            let total: f64 = weights.iter().sum();
            (first, weights.into_iter().map(|weight| weight / total).collect::<Vec<f64>>())
        };
        let taps: Vec<(usize, Vec<f64>)> = (0..output).map(tap).collect();
        let largest = taps.iter().flat_map(|(_, weights)| weights).fold(0f64, |a, &b| a.max(b));
        // As many bits as leave the largest weight in 15.
        let fits = |bits: &u32| largest * f64::from(1u32 << (bits + 1)) + 0.5 < f64::from(1 << 15);
        let bits = (0..22).find(|bits| !fits(bits)).unwrap_or(22);
        let whole = |weight: f64| (weight * f64::from(1u32 << bits) + 0.5) as i32;
        let taps = taps.into_iter().map(|(first, weights)| Taps {
            first,
            weights: weights.into_iter().map(whole).collect(),
        });
        Self { taps: taps.collect(), bits }
    }

    fn half(&self) -> i32 {
        if self.bits == 0 { 0 } else { 1 << (self.bits - 1) }
    }

    fn byte(&self, sum: i32) -> u8 {
        (sum >> self.bits).clamp(0, 255) as u8
    }
}

/// `picture` resized to `side` x `side`, red, green and blue row by row.
fn square(picture: &Picture, side: usize) -> Vec<u8> {
    let (columns, rows) = (Kernel::new(picture.width, side), Kernel::new(picture.height, side));
    let mut across = vec![0u8; picture.height * side * 3];
    let lines = across.par_chunks_mut(side * 3).zip(picture.rgb.par_chunks(picture.width * 3));
    lines.for_each(|(out, line)| {
        let (out, _) = out.as_chunks_mut::<3>();
        let (line, _) = line.as_chunks::<3>();
        for (out, taps) in out.iter_mut().zip(&columns.taps) {
            let mut sums = [columns.half(); 3];
            for (pixel, weight) in line[taps.first..].iter().zip(&taps.weights) {
                sums.iter_mut().zip(pixel).for_each(|(sum, &v)| *sum += weight * i32::from(v));
            }
            *out = sums.map(|sum| columns.byte(sum));
        }
    });
    let mut out = vec![0u8; side * side * 3];
    out.par_chunks_mut(side * 3).zip(&rows.taps).for_each(|(out, taps)| {
        let mut sums = vec![rows.half(); side * 3];
        for (i, weight) in taps.weights.iter().enumerate() {
            let line = &across[(taps.first + i) * side * 3..][..side * 3];
            sums.iter_mut().zip(line).for_each(|(sum, &v)| *sum += weight * i32::from(v));
        }
        out.iter_mut().zip(&sums).for_each(|(out, &sum)| *out = rows.byte(sum));
    });
    out
}

/// A picture as the network's input (1, 3, side, side), f32 on the processor.
///
/// # Errors
/// Those of the tensor library.
pub fn network_input(picture: &Picture, side: usize) -> Result<Tensor> {
    let bytes = square(picture, side);
    let mut data = vec![0f32; 3 * side * side];
    for (channel, out) in data.chunks_exact_mut(side * side).enumerate() {
        let (mean, deviation) = (255.0 * MEAN[channel], 255.0 * DEVIATION[channel]);
        let values = bytes.iter().skip(channel).step_by(3);
        out.iter_mut().zip(values).for_each(|(out, &v)| *out = (f32::from(v) - mean) / deviation);
    }
    Tensor::from_vec(data, (1, 3, side, side), &Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_its_pixels() {
        assert!(Picture::new((2, 2), vec![0; 12]).is_ok());
        for (size, bytes) in [((2, 2), 11), ((0, 2), 0), ((usize::MAX, 3), 9)] {
            assert!(Picture::new(size, vec![0; bytes]).is_err(), "{size:?}");
        }
    }

    #[test]
    fn a_square_of_its_own_size_is_itself_and_a_plain_one_stays_plain() {
        let rgb: Vec<u8> = (0..5 * 5 * 3).map(|i| (i * 37 % 256) as u8).collect();
        let picture = Picture::new((5, 5), rgb.clone()).unwrap();
        assert_eq!(square(&picture, 5), rgb);
        let plain = Picture::new((300, 7), [9, 200, 255].repeat(2100)).unwrap();
        assert_eq!(square(&plain, 16), [9, 200, 255].repeat(256));
    }
}
