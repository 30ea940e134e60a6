//! Pictures at other sizes, as Pillow's `LANCZOS` makes them.
//!
//! The forerunner resized so, and the networks were trained with it. Bytes are weighed with whole numbers of 22 bits
//! behind the point, first along rows, then along columns, and rounded after each, as Pillow's `Resample.c` has it.

/// Reach of the kernel on either side, in samples of the smaller picture.
const REACH: f64 = 3.0;
/// Bits of a weight behind the point.
const BITS: u32 = 22;

/// A picture's samples, `channels` bytes for each pixel, at another size: both are (width, height), none is zero.
pub(crate) fn resize(
    samples: &[u8],
    channels: usize,
    (width, height): (usize, usize),
    (to_width, to_height): (usize, usize),
) -> Vec<u8> {
    let mut wide = samples.to_vec();
    if to_width != width {
        let taps = taps(width, to_width);
        wide = Vec::with_capacity(to_width * height * channels);
        for row in samples.chunks_exact(width * channels) {
            for tap in &taps {
                for channel in 0..channels {
                    let at = |i: usize| row[(tap.first + i) * channels + channel];
                    wide.push(tap.weigh(at));
                }
            }
        }
    }
    if to_height == height {
        return wide;
    }
    let stride = to_width * channels;
    let mut out = Vec::with_capacity(stride * to_height);
    for tap in taps(height, to_height) {
        for column in 0..stride {
            out.push(tap.weigh(|i| wide[(tap.first + i) * stride + column]));
        }
    }
    out
}

/// The samples that one of the result is made of: the first, and the weights of it and those after it.
struct Tap {
    first: usize,
    weights: Vec<i32>,
}

impl Tap {
    fn weigh(&self, sample: impl Fn(usize) -> u8) -> u8 {
        let mut sum = 1i32 << (BITS - 1);
        for (i, &weight) in self.weights.iter().enumerate() {
            sum += i32::from(sample(i)) * weight;
        }
        (sum >> BITS).clamp(0, 255) as u8
    }
}

fn taps(input: usize, output: usize) -> Vec<Tap> {
    let scale = input as f64 / output as f64;
    let stretch = scale.max(1.0);
    let reach = REACH * stretch;
    let tap = |i: usize| {
        let centre = (i as f64 + 0.5) * scale;
        let first = (centre - reach + 0.5).max(0.0) as usize;
        let end = ((centre + reach + 0.5) as usize).min(input);
        let weight = |at: usize| lanczos((at as f64 - centre + 0.5) / stretch);
        let weights: Vec<f64> = (first..end).map(weight).collect();
        let sum: f64 = weights.iter().sum();
        let whole = |weight: f64| (weight / sum * f64::from(1u32 << BITS)).round() as i32;
        Tap { first, weights: weights.into_iter().map(whole).collect() }
    };
    (0..output).map(tap).collect()
}

fn lanczos(x: f64) -> f64 {
    let sinc = |x: f64| {
        let x = x * std::f64::consts::PI;
        if x == 0.0 { 1.0 } else { x.sin() / x }
    };
    if (-REACH..REACH).contains(&x) { sinc(x) * sinc(x / REACH) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn pictures_are_resized_to_the_level() {
        let (size, samples) = golden::rgb("picture");
        for name in ["small", "large", "narrow", "same_height"] {
            let (to, want) = golden::rgb(name);
            let got = resize(&samples, 3, size, to);
            let off = got.iter().zip(&want).filter(|(got, want)| got != want).count();
            assert_eq!((got.len(), off), (want.len(), 0), "{name}");
        }
        assert_eq!(resize(&samples, 3, size, size), samples);
    }
}
