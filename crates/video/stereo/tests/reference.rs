//! Splatting in reference mode against the published formulas, computed in PyTorch
//! (`tools/golden/export_splat.py`).

#![allow(clippy::unwrap_used)]

use parallax_stereo::{Plane, reference};
use safetensors::SafeTensors;

/// Half of the range of parallax in the goldens, in pixels.
const MOST_PX: f32 = 8.0;

/// Planes by frame and channel.
fn planes(goldens: &SafeTensors<'_>, name: &str) -> Vec<Vec<Plane>> {
    let tensor = goldens.tensor(name).unwrap();
    let &[_, channels, height, width] = tensor.shape() else { panic!("{name}: not a batch") };
    let read = |b: &[u8]| f32::from_le_bytes(b.try_into().unwrap());
    let values: Vec<f32> = tensor.data().chunks_exact(4).map(read).collect();
    let planes = values.chunks_exact(width * height);
    let planes: Vec<Plane> = planes.map(|v| Plane::new(width, height, v.to_vec())).collect();
    planes.chunks(channels).map(<[Plane]>::to_vec).collect()
}

#[track_caller]
fn assert_close(name: &str, got: &Plane, want: &Plane) {
    assert_eq!((got.width(), got.height()), (want.width(), want.height()));
    for (i, (g, w)) in got.data().iter().zip(want.data()).enumerate() {
        assert!((g - w).abs() <= 1e-5, "{name}: {g} for {w} at {i}");
    }
}

#[test]
fn reference_splatting_is_the_published_computation() {
    let bytes = include_bytes!("golden/splat.golden.safetensors");
    let goldens = SafeTensors::deserialize(bytes).unwrap();
    let (mut fractions, mut holes) = (0, 0);
    for case in ["mixed", "steps", "rest", "slopes"] {
        let of = |part: &str| planes(&goldens, &format!("{case}.{part}"));
        let sources = of("image").into_iter().zip(of("depth"));
        let source = |(planes, depth): (Vec<Plane>, Vec<Plane>)| reference::Source {
            planes,
            disparity: reference::disparity(&depth[0], MOST_PX),
        };
        let batch: Vec<_> = sources.map(source).collect();
        let wanted = of("warped").into_iter().zip(of("mask"));
        for (f, (got, (warped, mask))) in reference::splat(&batch).iter().zip(wanted).enumerate() {
            for (c, want) in warped.iter().enumerate() {
                assert_close(&format!("{case} {f}, channel {c}"), &got.planes[c], want);
            }
            assert_close(&format!("{case} {f}, mask"), &got.mask, &mask[0]);
            fractions += mask[0].data().iter().filter(|&&m| m > 0.0 && m < 1.0).count();
            holes += mask[0].data().iter().filter(|&&m| m == 1.0).count();
        }
    }
    // The goldens would prove little without them.
    assert!(fractions > 100 && holes > 100, "{fractions} fractional, {holes} holes");
}

#[test]
fn any_pool_size_gives_the_same_bits() {
    let plane = Plane::from_fn(61, 23, |x, y| ((x * 7919 + y * 104_729) % 251) as f32);
    let disparity = Plane::from_fn(61, 23, |x, y| ((x * 31 + y * 17) % 23) as f32 * 0.37 - 3.0);
    let batch = [reference::Source { planes: vec![plane], disparity }];
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| reference::splat(&batch).remove(0))
    };
    let (one, many) = (run(1), run(5));
    assert_eq!((one.planes, one.mask), (many.planes, many.mask));
}
