//! Pictures at other sizes, as Pillow's `LANCZOS` makes them.
//!
//! The forerunner resized so, and the networks were trained with it. Bytes are weighed with whole numbers of 22 bits
//! behind the point, first along rows, then along columns, and rounded after each, as Pillow's `Resample.c` has it. Only
//! where that makes far more of a picture in between, columns come first, and samples may be off by a level.

/// Reach of the kernel on either side, in samples of the smaller picture.
const REACH: f64 = 3.0;
/// Bits of a weight behind the point.
const BITS: u32 = 22;
/// Bytes between the passes that Pillow's order may take whatever the other would.
const MOST_BETWEEN: usize = 64 << 20;

/// A picture's samples, `channels` bytes for each pixel, at another size: both are (width, height), none is zero.
pub(crate) fn resize(
    samples: &[u8],
    channels: usize,
    (width, height): (usize, usize),
    (to_width, to_height): (usize, usize),
) -> Vec<u8> {
    if columns_first(channels, (width, height), (to_width, to_height)) {
        let tall = along_columns(samples.to_vec(), width * channels, (height, to_height));
        return along_rows(tall, channels, (width, to_width));
    }
    let wide = along_rows(samples.to_vec(), channels, (width, to_width));
    along_columns(wide, to_width * channels, (height, to_height))
}

/// Whether Pillow's order takes too much between the passes, and the other less.
fn columns_first(
    channels: usize,
    (width, height): (usize, usize),
    (to_width, to_height): (usize, usize),
) -> bool {
    let (wide, tall) = (to_width * height * channels, width * to_height * channels);
    wide > MOST_BETWEEN && tall < wide
}

fn along_rows(samples: Vec<u8>, channels: usize, (width, to_width): (usize, usize)) -> Vec<u8> {
    if to_width == width {
        return samples;
    }
    let taps = taps(width, to_width);
    let mut wide = Vec::with_capacity(samples.len() / width * to_width);
    for row in samples.chunks_exact(width * channels) {
        for tap in &taps {
            for channel in 0..channels {
                wide.push(tap.weigh(|i| row[(tap.first + i) * channels + channel]));
            }
        }
    }
    wide
}

/// `stride` is the bytes of a row.
fn along_columns(samples: Vec<u8>, stride: usize, (height, to_height): (usize, usize)) -> Vec<u8> {
    if to_height == height {
        return samples;
    }
    let mut out = Vec::with_capacity(stride * to_height);
    for tap in taps(height, to_height) {
        for column in 0..stride {
            out.push(tap.weigh(|i| samples[(tap.first + i) * stride + column]));
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

    #[test]
    fn a_strip_becomes_a_strip_across_with_little_between() {
        let (from, to) = ((1, 16_384), (16_384, 1));
        assert!(columns_first(3, from, to) && !columns_first(3, to, from));
        assert!(!columns_first(3, (1024, 576), (576, 1024)));
        let out = resize(&vec![77; 16_384 * 3], 3, from, to);
        assert_eq!(out, vec![77; 16_384 * 3]);
    }
}
