//! Values of tensors that are not finite numbers, or would not be in a narrower type.

use candle_core::DType;
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::error::OddTensor;

/// Elements that one task looks at.
const RUN: usize = 1 << 16;

/// The least magnitude that becomes infinite in `dtype`, rounded to nearest: half a step above the
/// largest number.
fn limit(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 65520.0,
        DType::BF16 => f64::from(f32::from_bits(0x7f7f_8000)),
        DType::F64 => f64::INFINITY,
        _ => f64::from(f32::MAX) + 2f64.powi(103),
    }
}

/// What is wrong with the values of the tensor `name` when they are read as `dtype`; `None` when nothing
/// is. Integers are always right.
pub(crate) fn odd(name: &str, view: &TensorView<'_>, dtype: DType) -> Option<OddTensor> {
    let (bytes, limit) = (view.data(), limit(dtype));
    // Bits without the sign are in the order of magnitudes, infinity and NaN last.
    let found = match view.dtype() {
        Dtype::F16 => {
            let least = u64::from(f16::INFINITY.to_bits());
            let magnitude = |b| u64::from(u16::from_le_bytes(b) & 0x7fff);
            scan(bytes, (least, limit), magnitude, |b| f16::from_le_bytes(b).to_f64())
        }
        Dtype::BF16 => {
            let least = bf16::from_f64(limit).to_bits().min(bf16::INFINITY.to_bits());
            let magnitude = |b| u64::from(u16::from_le_bytes(b) & 0x7fff);
            scan(bytes, (least.into(), limit), magnitude, |b| bf16::from_le_bytes(b).to_f64())
        }
        Dtype::F32 => {
            let least = u64::from((limit as f32).to_bits());
            let magnitude = |b| u64::from(u32::from_le_bytes(b) & 0x7fff_ffff);
            scan(bytes, (least, limit), magnitude, |b| f64::from(f32::from_le_bytes(b)))
        }
        Dtype::F64 => {
            let magnitude = |b| u64::from_le_bytes(b) & (u64::MAX >> 1);
            scan(bytes, (limit.to_bits(), limit), magnitude, f64::from_le_bytes)
        }
        _ => None,
    }?;
    Some(OddTensor { name: name.to_owned(), ..found })
}

/// Counts among elements of `N` bytes those from the magnitude `limit` on. None has as much where no
/// bits reach `least`, which one quick pass finds out.
fn scan<const N: usize>(
    bytes: &[u8],
    (least, limit): (u64, f64),
    magnitude: impl Fn([u8; N]) -> u64 + Sync,
    value: impl Fn([u8; N]) -> f64,
) -> Option<OddTensor> {
    let (elements, _) = bytes.as_chunks::<N>();
    let most = |run: &[[u8; N]]| run.iter().fold(0, |most: u64, b| most.max(magnitude(*b)));
    if elements.par_chunks(RUN).map(most).max().unwrap_or(0) < least {
        return None;
    }
    let mut found = OddTensor {
        name: String::new(),
        nan: 0,
        infinite: 0,
        too_large: 0,
        values: elements.len() as u64,
    };
    for &element in elements {
        match value(element).abs() {
            v if v.is_nan() => found.nan += 1,
            f64::INFINITY => found.infinite += 1,
            v if v >= limit => found.too_large += 1,
            _ => {}
        }
    }
    (found.nan + found.infinite + found.too_large > 0).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(dtype: Dtype, bytes: Vec<u8>, wanted: DType) -> Option<(u64, u64, u64)> {
        let size = if matches!(dtype, Dtype::F16 | Dtype::BF16) { 2 } else { 4 };
        let view = TensorView::new(dtype, vec![bytes.len() / size], &bytes).unwrap();
        odd("x", &view, wanted).map(|odd| (odd.nan, odd.infinite, odd.too_large))
    }

    #[test]
    fn every_half_is_finite_or_counted() {
        let all = |odd: fn(f16) -> bool| (0..=u16::MAX).filter(|b| odd(f16::from_bits(*b))).count();
        let bytes = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let (nan, infinite) = (all(f16::is_nan) as u64, 2);
        assert_eq!(of(Dtype::F16, bytes, DType::F32), Some((nan, infinite, 0)));
        let finite = (0..=u16::MAX).filter(|b| f16::from_bits(*b).is_finite());
        assert_eq!(of(Dtype::F16, finite.flat_map(u16::to_le_bytes).collect(), DType::F16), None);
    }

    #[test]
    fn what_a_narrower_type_rounds_to_infinity_is_too_large_for_it() {
        let floats = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect();
        for values in [[0.0, -1e-40, 65504.0, -65519.99f32], [1.0, 2.0, 3.0, 65520.0]] {
            let rounded = values.iter().filter(|v| !f16::from_f32(**v).is_finite()).count() as u64;
            let wanted = (rounded > 0).then_some((0, 0, rounded));
            assert_eq!(of(Dtype::F32, floats(&values), DType::F16), wanted, "{values:?}");
            assert_eq!(of(Dtype::F32, floats(&values), DType::F32), None);
        }
        let (last, first) = (f32::from_bits(0x7f7f_7fff), f32::from_bits(0x7f7f_8000));
        assert!(bf16::from_f32(last).is_finite() && bf16::from_f32(first).is_infinite());
        assert_eq!(of(Dtype::F32, floats(&[last]), DType::BF16), None);
        assert_eq!(of(Dtype::F32, floats(&[first]), DType::BF16), Some((0, 0, 1)));
        assert_eq!(of(Dtype::F32, floats(&[f32::MAX]), DType::F32), None);
        let bytes = bf16::from_f32(65536.0).to_le_bytes().to_vec();
        assert_eq!(of(Dtype::BF16, bytes.clone(), DType::F16), Some((0, 0, 1)));
        assert_eq!(of(Dtype::BF16, bytes, DType::BF16), None);
    }
}
