//! Forward warp along rows: where every right-eye sample comes from, and what nothing maps to.
//!
//! The classical splat scatters weighted samples and divides by the weights. Here each row is a
//! polyline instead: neighbouring samples span a segment in the right eye, the nearest segment
//! wins, and the result is an *inverse* map that every plane is then gathered through. It is the
//! limit of softmax weights as they sharpen, so background cannot bleed through foreground and no
//! exponent can overflow; stretched surfaces are interpolated, so they cannot crack; and one map
//! serves luma and subsampled chroma alike. Zero disparity yields the identity map exactly.
//!
//! It does not reproduce the two-dimensional kernel of the reference pipeline, nor its losses at
//! the right and bottom borders: [`crate::reference`] does.

mod gather;
mod trace;

use rayon::prelude::*;

use crate::Plane;
use crate::simd::over;
pub(crate) use gather::gather;
use trace::{Row, Tracer};

/// The forward warp of one frame size, with its scratch: reuse one per clip.
#[derive(Debug, Clone)]
pub struct Warp {
    /// Source column of every right-eye sample, 0 to `width - 1`, fractional.
    pub(crate) source: Plane,
    /// Disparity of the surface seen at every right-eye sample; -inf where there is none.
    pub(crate) near: Plane,
    pub(crate) mask: Plane,
}

impl Warp {
    /// A warp for luma of `width` x `height`, at rest (identity, no holes).
    pub fn new(width: usize, height: usize) -> Self {
        Self {
            source: Plane::from_fn(width, height, |x, _| x as f32),
            near: Plane::filled(width, height, 0.0),
            mask: Plane::filled(width, height, 0.0),
        }
    }

    /// Warps by `disparity`, in pixels at this width; positive moves the right-eye sample left
    /// and is nearer. NaN counts as 0 and magnitudes are limited to the width.
    ///
    /// # Panics
    /// When `disparity` has another size.
    pub fn splat(&mut self, disparity: &Plane) {
        let (width, height) = (self.source.width(), self.source.height());
        assert_eq!((disparity.width(), disparity.height()), (width, height), "disparity size");
        self.source
            .data_mut()
            .par_chunks_mut(width)
            .zip(self.near.data_mut().par_chunks_mut(width))
            .zip(self.mask.data_mut().par_chunks_mut(width))
            .zip(disparity.data().par_chunks(width))
            .for_each_init(
                || Tracer::new(width),
                |tracer, (((source, near), mask), disparity)| {
                    tracer.trace(&mut Row { source, near, mask }, disparity);
                },
            );
    }

    /// The occlusion mask: 1 minus the bilinear coverage, 0 (seen from the left) to 1 (hole).
    pub fn mask(&self) -> &Plane {
        &self.mask
    }

    /// Gathers f32 planes of the warp's size through the map, linearly, into others that are overwritten;
    /// holes hold whatever lies beside them until they are filled.
    ///
    /// # Panics
    /// When a plane has another size.
    pub fn planes<const P: usize>(&self, planes: [&Plane; P], out: &mut [Plane; P]) {
        let (width, height) = (self.source.width(), self.source.height());
        for plane in planes.into_iter().chain(out.iter()) {
            assert_eq!((plane.width(), plane.height()), (width, height), "plane size");
        }
        let mut chunks = out.each_mut().map(|plane| plane.data_mut().chunks_mut(width));
        let rows: Vec<[&mut [f32]; P]> =
            (0..height).map(|_| chunks.each_mut().map(|c| c.next().unwrap_or_default())).collect();
        rows.into_par_iter().enumerate().for_each(|(y, outs)| {
            let mut outs = outs.into_iter();
            let rows = planes.map(|plane| (plane.row(y), outs.next().unwrap_or_default()));
            over(
                #[inline(always)]
                || gather(self.source.row(y), 0, rows, |[a, b], f| a + (b - a) * f),
            );
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthesis::occlusion_fill::mirror;
    use proptest::prelude::*;

    struct Splat<const P: usize> {
        planes: [Plane; P],
        mask: Plane,
    }

    /// Planes seen from the right eye, 0 in full holes.
    fn splat<const P: usize>(planes: [&Plane; P], disparity: &Plane) -> Splat<P> {
        let mut warp = Warp::new(disparity.width(), disparity.height());
        warp.splat(disparity);
        let mut out = planes.map(|plane| Plane::filled(plane.width(), plane.height(), f32::NAN));
        warp.planes(planes, &mut out);
        for plane in &mut out {
            for (v, &m) in plane.data_mut().iter_mut().zip(warp.mask.data()) {
                *v = if m >= 1.0 { 0.0 } else { *v };
            }
        }
        Splat { planes: out, mask: warp.mask }
    }

    fn texture(width: usize, height: usize) -> Plane {
        Plane::from_fn(width, height, |x, y| ((x * 7919 + y * 104_729) % 251) as f32)
    }

    #[test]
    fn zero_disparity_is_the_identity_at_any_size() {
        for (width, height) in [(1, 1), (1, 5), (2, 1), (7, 3), (64, 9)] {
            let plane = texture(width, height);
            let out = splat([&plane], &Plane::filled(width, height, 0.0));
            assert_eq!(out.planes[0], plane);
            assert_eq!(out.mask, Plane::filled(width, height, 0.0));
        }
    }

    #[test]
    fn whole_pixels_shift_exactly_and_uncover_one_border() {
        let (width, height) = (16, 3);
        let plane = texture(width, height);
        for shift in [-20i32, -16, -5, -1, 1, 4, 15, 16, 30] {
            let out = splat([&plane], &Plane::filled(width, height, shift as f32));
            for y in 0..height {
                for x in 0..width {
                    let from = x as i32 + shift;
                    let seen = (0..width as i32).contains(&from);
                    let want = if seen { plane.at(from as usize, y) } else { 0.0 };
                    assert_eq!(out.planes[0].at(x, y), want, "shift {shift} at {x},{y}");
                    assert_eq!(out.mask.at(x, y), if seen { 0.0 } else { 1.0 });
                }
            }
        }
    }

    #[test]
    fn a_step_edge_uncovers_exactly_its_height() {
        for (near, far) in [(9.0, 2.0), (5.5, 0.0), (3.25, -2.5), (2.0, 0.0), (0.3, -3.9)] {
            let disparity =
                Plane::from_fn(64, 1, |x, _| if (20..40).contains(&x) { near } else { far });
            let mut warp = Warp::new(64, 1);
            warp.splat(&disparity);
            let hole: f32 = warp.mask.data()[16..44].iter().sum();
            assert!((hole - (near - far)).abs() < 1e-4, "{near} over {far}: {hole}");
            // The object keeps its width, on top of the background.
            let object = warp.near.data().iter().filter(|&&d| d == near).count();
            assert_eq!(object, 20, "{near} over {far}");
        }
    }

    #[test]
    fn the_nearer_of_two_overlapping_surfaces_wins_without_bleeding() {
        let plane = Plane::from_fn(32, 1, |x, _| if x >= 16 { 200.0 } else { 10.0 });
        for near in [0.25, 1.0, 6.0] {
            let disparity = Plane::from_fn(32, 1, |x, _| if x >= 16 { near } else { 0.0 });
            let out = splat([&plane], &disparity);
            let values = out.planes[0].data()[..26].to_vec();
            assert!(values.iter().all(|&v| v == 10.0 || v == 200.0), "{near}: {values:?}");
        }
    }

    #[test]
    fn slanted_surfaces_do_not_crack() {
        for slope in [0.1f32, 0.5, 0.9] {
            let disparity = Plane::from_fn(200, 1, |x, _| 40.0 - slope * x as f32);
            let mut warp = Warp::new(200, 1);
            warp.splat(&disparity);
            // From the border inwards to where the surface ends, nothing is missing.
            let end = (199.0 - disparity.at(199, 0)).min(199.0) as usize;
            assert!(warp.mask.data()[..=end].iter().all(|&m| m == 0.0), "slope {slope}");
        }
    }

    #[test]
    fn any_pool_size_gives_the_same_bits() {
        let disparity = Plane::from_fn(97, 41, |x, y| ((x * 31 + y * 17) % 23) as f32 * 0.37 - 3.0);
        let plane = texture(97, 41);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| splat([&plane], &disparity))
        };
        let (one, many) = (run(1), run(5));
        assert_eq!(one.planes, many.planes);
        assert_eq!(one.mask, many.mask);
    }

    proptest! {
        #[test]
        fn zero_disparity_reproduces_any_input_exactly(
            width in 1usize..80, height in 1usize..6,
            values in prop::collection::vec(-1e6f32..1e6, 480),
        ) {
            let plane = Plane::from_fn(width, height, |x, y| values[y * width + x]);
            let out = splat([&plane, &plane], &Plane::filled(width, height, 0.0));
            prop_assert_eq!(&out.planes[0], &plane);
            prop_assert_eq!(&out.planes[1], &plane);
            prop_assert!(out.mask.data().iter().all(|&m| m == 0.0));
        }

        #[test]
        fn a_step_edge_has_the_analytic_mask(
            start in 12usize..30, length in 11usize..30, near in -3.0f32..8.0, step in 2.5f32..9.0,
        ) {
            let (width, end) = (80, start + length);
            let far = near - step;
            let card = |x: usize| (start..end).contains(&x);
            let disparity = Plane::from_fn(width, 1, |x, _| if card(x) { near } else { far });
            let mut warp = Warp::new(width, 1);
            warp.splat(&disparity);
            // The card is wider than the step, so that nothing shows through behind it. Between its last sample and the
            // wall's first one beyond nothing lands; the two cover what lies around them linearly.
            let (last, first) = ((end - 1) as f32 - near, end as f32 - far);
            for t in last.ceil() as usize..first.ceil() as usize {
                let tent = |at: f32| (1.0 - (t as f32 - at).abs()).max(0.0);
                let want = 1.0 - (tent(last) + tent(first)).min(1.0);
                let got = warp.mask.at(t, 0);
                prop_assert!((got - want).abs() < 1e-4, "{} at {}, not {}", got, t, want);
            }
            // What the wall shows on the other side of the card, and the card, is all seen.
            let seen = (first.ceil() as usize..width - 12).chain(12..last.floor() as usize);
            for t in seen {
                prop_assert_eq!(warp.mask.at(t, 0), 0.0, "at {}", t);
            }
        }

        #[test]
        fn the_nearest_of_all_that_land_on_a_column_is_seen(
            // Surfaces of some length, each at a disparity and with a slope.
            surfaces in prop::collection::vec((1usize..30, -9.0f32..9.0, -0.9f32..0.9), 1..9),
        ) {
            let row: Vec<f32> = surfaces
                .iter()
                .flat_map(|&(length, d, slope)| (0..length).map(move |k| d + slope * k as f32))
                .collect();
            let mut warp = Warp::new(row.len(), 1);
            warp.splat(&Plane::new(row.len(), 1, row.clone()));
            let at = |x: usize| x as f32 - row[x];
            for t in 0..row.len() {
                let column = t as f32;
                let segments = (1..row.len()).filter(|&x| {
                    at(x) - at(x - 1) < 2.0 && (at(x - 1)..=at(x)).contains(&column)
                });
                let crossing = segments.map(|x| {
                    let along = (column - at(x - 1)) / (at(x) - at(x - 1));
                    row[x - 1] + (row[x] - row[x - 1]) * along
                });
                let least = crossing.fold(f32::NEG_INFINITY, f32::max);
                // The end of a surface may claim what is half a pixel from it.
                let ends = (0..row.len()).filter(|&x| (at(x) - column).abs() <= 0.5).map(|x| row[x]);
                let most = ends.fold(least, f32::max);
                let near = warp.near.at(t, 0);
                prop_assert!(
                    near == f32::NEG_INFINITY && least == near || least - 1e-3 <= near && near <= most + 1e-3,
                    "{} at {}, not from {} to {}", near, t, least, most
                );
            }
        }

        #[test]
        fn arbitrary_disparity_gives_finite_samples_inside_the_source(
            width in 1usize..40, height in 1usize..4,
            values in prop::collection::vec(
                prop_oneof![8 => -50.0f32..50.0, 1 => any::<f32>()], 160),
        ) {
            let disparity = Plane::from_fn(width, height, |x, y| values[y * width + x]);
            let mut warp = Warp::new(width, height);
            warp.splat(&disparity);
            mirror(&mut warp);
            prop_assert!(warp.mask.data().iter().all(|m| (0.0..=1.0).contains(m)));
            prop_assert!(warp.source.data().iter().all(|s| (0.0..=(width - 1) as f32).contains(s)));
            prop_assert!(warp.near.data().iter().all(|d| d.is_finite()));
        }
    }
}
