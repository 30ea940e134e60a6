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
    // ln 2 in two parts; the first has few enough bits for an exact product with the exponent.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, x));
    // The sixth power's least relative error for |r| <= ln(2) / 2, fitted here: 2e-9.
    let p = 0.001_383_684_6;
    let p = r.mul_add(p, 0.008_374_816);
    let p = r.mul_add(p, 0.041_668_225);
    let p = r.mul_add(p, 0.166_664_2);
    let p = r.mul_add(p, 0.499_999_9);
    let p = r.mul_add(p, 1.0);
    let p = r.mul_add(p, 1.0);
    power_of_two(shifted) * p
}

/// Adding this rounds to the nearest integer in the low bits of the mantissa.
const ROUND: f32 = 12_582_912.0;

/// `2^n` of `n + ROUND`.
#[inline(always)]
fn power_of_two(shifted: f32) -> f32 {
    f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
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

/// `x * Phi(x)`, the exact (not tanh) form: `max(x, 0) - |x| Phi(-|x|)`, absolute error below 1e-7.
///
/// `Phi(-a)` is `2^-q(a)`; `q` grows nearly as a square and is fitted here by its seventh power, so that `a Phi(-a)`
/// errs by 5e-8 at most. Neither a division nor a second exponential is needed.
#[inline(always)]
pub(super) fn gelu(x: f32) -> f32 {
    // Beyond it `erf` is 1 when it is rounded to f32, so that who computes by it has nothing there at all: masks
    // whose logits are nought would be another picture with 1e-8.
    const END: f32 = 5.54;
    let a = x.abs();
    let t = a.min(END);
    let q = -4.671_292e-6;
    let q = t.mul_add(q, 1.712_932_5e-5);
    let q = t.mul_add(q, 5.572_493e-4);
    let q = t.mul_add(q, -0.007_631_87);
    let q = t.mul_add(q, 0.052_907_16);
    let q = t.mul_add(q, 0.459_064_1);
    let q = t.mul_add(q, 1.151_124_2);
    let q = t.mul_add(q, 0.999_999_6);
    let shifted = ROUND - q;
    let r = (ROUND - shifted) - q;
    // `2^r` for |r| <= 1/2, fitted here: 8e-8 of it.
    let p = 0.001_327_647_2;
    let p = r.mul_add(p, 0.009_675_542);
    let p = r.mul_add(p, 0.055_507_133);
    let p = r.mul_add(p, 0.240_221_2);
    let p = r.mul_add(p, 0.693_146_97);
    let p = r.mul_add(p, 1.0);
    let tail = if a < END { power_of_two(shifted) * p } else { 0.0 };
    (-t).mul_add(tail, x.max(0.0))
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
        // By erf from tables.
        for (x, erf) in [
            (0.0, 0.0),
            (0.1, 0.112_462_916_018_285),
            (0.5, 0.520_499_877_813_047),
            (1.0, 0.842_700_792_949_715),
            (1.5, 0.966_105_146_475_311),
            (2.0, 0.995_322_265_018_953),
            (3.0, 0.999_977_909_503_001),
        ] {
            for x in [x * std::f64::consts::SQRT_2, -x * std::f64::consts::SQRT_2] {
                let want = 0.5 * x * (1.0 + f64::copysign(erf, x));
                let got = f64::from(gelu(x as f32));
                assert!((got - want).abs() < 1e-7 * x.abs().max(1.0), "gelu {x}: {got}, {want}");
            }
        }
        for large in [5.6, 9.0, 30.0, 1e4, 1e30, f32::INFINITY] {
            assert_eq!((gelu(large), gelu(-large)), (large, 0.0));
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
