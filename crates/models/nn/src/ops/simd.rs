//! Elementwise functions written so that the compiler can vectorise them.
//!
//! `over` runs a closure with the widest vector instructions that the machine has; bodies must be
//! branch-free and `inline(always)`. Errors stay below 1e-6 of the result's scale.

use pulp::Arch;

/// Run `f` compiled for the widest instruction set available at run time.
///
/// Loops in it are written as `for`: what an iterator's own method runs may stay a function by itself, which
/// knows only the narrowest instructions.
pub(super) fn over<R>(f: impl FnOnce() -> R) -> R {
    Arch::new().dispatch(f)
}

/// `e^x`; inputs are clamped to where the result is a normal number.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to the nearest integer in the low mantissa bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts; the first has few enough bits for an exact product with the exponent.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    // Taylor to the seventh power: |r| <= ln(2) / 2, so the remainder is below 6e-9.
    let p = 1.0 / 5040.0;
    let p = p * r + 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    let scale = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    p * scale
}

#[inline(always)]
pub(super) fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// `x * sigmoid(1.702 x)`.
#[inline(always)]
pub(super) fn quick_gelu(x: f32) -> f32 {
    x / (1.0 + exp(-1.702 * x))
}

/// The Gaussian error function, absolute error below 3e-7 (Abramowitz and Stegun, 7.1.26).
#[inline(always)]
fn erf(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let p = 1.061_405_4;
    let p = p * t - 1.453_152_1;
    let p = p * t + 1.421_413_8;
    let p = p * t - 0.284_496_72;
    let p = p * t + 0.254_829_6;
    let y = 1.0 - p * t * exp(-a * a);
    y.copysign(x)
}

/// `x * Phi(x)`, the exact (not tanh) form.
#[inline(always)]
pub(super) fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// [`gelu`] in place, whole vectors at a time as long as there are some.
#[inline(always)]
pub(super) fn gelu_of(values: &mut [f32]) {
    let (whole, rest) = values.as_chunks_mut::<16>();
    for values in whole {
        for value in values {
            *value = gelu(*value);
        }
    }
    for value in rest {
        *value = gelu(*value);
    }
}

/// `values * silu(gate)` in place.
#[inline(always)]
pub(super) fn gate(values: &mut [f32], gate: &[f32]) {
    for (value, &gate) in values.iter_mut().zip(gate) {
        *value *= silu(gate);
    }
}

/// Sum with sixteen running lanes, so that it vectorises and rounds little.
#[inline(always)]
pub(super) fn sum(xs: &[f32], f: impl Fn(f32) -> f32) -> f64 {
    let mut total = 0f64;
    // Lanes are emptied into f64 every 4096 elements: the error does not grow with the tensor.
    for block in xs.chunks(4096) {
        let mut lanes = [0f32; 16];
        let mut chunks = block.chunks_exact(16);
        for c in &mut chunks {
            for (l, &x) in lanes.iter_mut().zip(c) {
                *l += f(x);
            }
        }
        let tail: f32 = chunks.remainder().iter().map(|&x| f(x)).sum();
        total += lanes.iter().map(|&l| f64::from(l)).sum::<f64>() + f64::from(tail);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_agree_with_double_precision() {
        for i in -2000..=2000 {
            let x = i as f32 * 0.01;
            let d = f64::from(x);
            let close =
                |got: f32, want: f64| (f64::from(got) - want).abs() <= 4e-7 * want.abs().max(1.0);
            assert!((f64::from(exp(x)) / d.exp() - 1.0).abs() < 3e-7, "exp {x}");
            assert!(close(silu(x), d / (1.0 + (-d).exp())), "silu {x}");
            assert!(close(quick_gelu(x), d / (1.0 + (-1.702 * d).exp())), "quick_gelu {x}");
        }
        // erf from tables.
        for (x, want) in [
            (0.0, 0.0),
            (0.1, 0.112_462_915),
            (0.5, 0.520_499_9),
            (1.0, 0.842_700_8),
            (2.0, 0.995_322_3),
        ] {
            assert!((erf(x) - want).abs() < 4e-7, "erf {x}");
            assert!((erf(-x) + want).abs() < 4e-7, "erf -{x}");
        }
        assert_eq!(exp(-1e30), exp(-87.0));
        assert!(silu(-1000.0).abs() < 1e-30);
    }

    #[test]
    fn sum_does_not_drift() {
        let xs = vec![0.1f32; 1_000_003];
        assert!((sum(&xs, |x| x) / (f64::from(0.1f32) * 1_000_003.0) - 1.0).abs() < 3e-6);
    }
}
