//! How near a tensor is to the one that is wanted.

use candle_core::{DType, Tensor};

/// Every element within `rtol` of the wanted one's magnitude plus `atol`.
///
/// # Panics
/// Naming the worst element.
#[track_caller]
pub fn assert_close(name: &str, got: &Tensor, want: &Tensor, rtol: f32, atol: f32) {
    assert_eq!(got.dims(), want.dims(), "{name}: shape");
    let flat = |t: &Tensor| {
        t.flatten_all().unwrap().to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap()
    };
    let (g, w) = (flat(got), flat(want));
    let (mut worst, mut at) = (f32::NEG_INFINITY, 0);
    for (i, (g, w)) in g.iter().zip(&w).enumerate() {
        assert!(
            g.is_finite() && w.is_finite(),
            "{name}: {g} for {w} at {:?}",
            index(want.dims(), i)
        );
        let excess = (g - w).abs() - (rtol * w.abs() + atol);
        if excess > worst {
            (worst, at) = (excess, i);
        }
    }
    assert!(
        worst <= 0.0,
        "{name}: {} for {} at {:?} of {:?}",
        g[at],
        w[at],
        index(want.dims(), at),
        want.dims()
    );
}

/// Within 2e-5 of the largest magnitude of the wanted tensor, at every element.
///
/// # Panics
/// As [`assert_close`].
#[track_caller]
pub fn assert_parity(name: &str, got: &Tensor, want: &Tensor) {
    let scale =
        want.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
    assert_close(name, got, want, 0.0, 2e-5 * scale);
}

fn index(dims: &[usize], mut flat: usize) -> Vec<usize> {
    let mut out = vec![0; dims.len()];
    for (o, d) in out.iter_mut().zip(dims).rev() {
        *o = flat % d;
        flat /= d;
    }
    out
}
