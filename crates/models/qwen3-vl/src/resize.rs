//! Resizing of bytes as torchvision does it: cubic, over all that a sample of the result covers, rows first, by weights
//! of 16 bits, and rounded to bytes after each axis.

use rayon::prelude::*;

/// Keys' cubic coefficient where samples are averaged, as Pillow has it.
const CUBIC: f64 = -0.5;
/// The most bits behind the point of a weight.
const MOST_BITS: u32 = 22;

/// One sample of the result: the first of its sources and their weights.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

/// All samples of an axis, and how many bits of their weights are behind the point.
struct Axis {
    taps: Vec<Taps>,
    bits: u32,
}

fn cubic(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        ((CUBIC + 2.0) * x - (CUBIC + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((x - 5.0) * x + 8.0) * x * CUBIC - 4.0 * CUBIC
    } else {
        0.0
    }
}

impl Axis {
    fn new(input: usize, output: usize) -> Self {
        let step = input as f64 / output as f64;
        let stretch = step.max(1.0);
        let reach = 2.0 * stretch;
        let tap = |i: usize| {
            let centre = (i as f64 + 0.5) * step;
            let first = ((centre - reach + 0.5) as isize).max(0) as usize;
            let end = ((centre + reach + 0.5) as usize).min(input);
            let weights: Vec<f64> =
                (first..end).map(|at| cubic((at as f64 + 0.5 - centre) / stretch)).collect();
            let total: f64 = weights.iter().sum();
            (first, weights.into_iter().map(|w| w / total).collect::<Vec<f64>>())
        };
        let exact: Vec<(usize, Vec<f64>)> = (0..output).map(tap).collect();
        let most = exact.iter().flat_map(|(_, weights)| weights).fold(0.0, |a: f64, &b| a.max(b));
        // As many as leave the largest weight within 16 bits.
        let fits = |bits: u32| (most * f64::from(1u32 << bits) + 0.5) < f64::from(1u32 << 15);
        let bits = (1..=MOST_BITS).take_while(|&bits| fits(bits)).last().unwrap_or(0);
        let whole = |w: f64| (w * f64::from(1u32 << bits)).round() as i32;
        let taps = exact
            .into_iter()
            .map(|(first, weights)| Taps {
                first,
                weights: weights.into_iter().map(whole).collect(),
            })
            .collect();
        Self { taps, bits }
    }

    /// A byte of a sum of weighted bytes that began with [`Axis::half`].
    fn byte(&self, sum: i32) -> u8 {
        (sum >> self.bits).clamp(0, 255) as u8
    }

    /// What makes cutting rounding.
    fn half(&self) -> i32 {
        if self.bits == 0 { 0 } else { 1 << (self.bits - 1) }
    }
}

/// One channel of (height, width), row by row, to (h, w).
pub(crate) fn resized(channel: &[u8], from: (usize, usize), (h, w): (usize, usize)) -> Vec<u8> {
    let (height, width) = from;
    let mut across = vec![0u8; w * height];
    if w == width {
        across.copy_from_slice(channel);
    } else {
        let axis = Axis::new(width, w);
        across.par_chunks_mut(w).zip(channel.par_chunks(width)).for_each(|(out, line)| {
            for (out, taps) in out.iter_mut().zip(&axis.taps) {
                let from = line[taps.first..].iter().zip(&taps.weights);
                *out = axis.byte(from.fold(axis.half(), |sum, (&v, w)| sum + i32::from(v) * w));
            }
        });
    }
    if h == height {
        return across;
    }
    let axis = Axis::new(height, h);
    let mut all = vec![0u8; w * h];
    all.par_chunks_mut(w).zip(&axis.taps).for_each(|(out, taps)| {
        let mut sums = vec![axis.half(); w];
        for (k, weight) in taps.weights.iter().enumerate() {
            let line = &across[(taps.first + k) * w..][..w];
            sums.iter_mut().zip(line).for_each(|(sum, &v)| *sum += weight * i32::from(v));
        }
        out.iter_mut().zip(&sums).for_each(|(out, &sum)| *out = axis.byte(sum));
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_colour_stays_and_edges_stay_within_bytes() {
        assert!(resized(&[200; 35], (5, 7), (13, 3)).iter().all(|&v| v == 200));
        let steep: Vec<u8> = (0..64).map(|i| if i % 8 < 4 { 0 } else { 255 }).collect();
        assert_eq!(resized(&steep, (8, 8), (8, 8)), steep);
        let wide = resized(&steep, (8, 8), (8, 32));
        assert_eq!((wide[0], wide[31]), (0, 255), "overshoot is cut, not wrapped");
    }
}
