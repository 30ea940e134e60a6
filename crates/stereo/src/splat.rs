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

use rayon::prelude::*;

use crate::Plane;

/// Segments at least this long (in right-eye pixels per source pixel) are depth edges, not
/// surfaces. Two is where bilinear splatting starts to leave samples without any weight.
const TEAR: f32 = 2.0;

/// `near` of a right-eye sample that no source sample claims.
const UNCLAIMED: f32 = f32::NEG_INFINITY;

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
            .for_each(|(((source, near), mask), disparity)| {
                Row { source, near, mask }.splat(disparity);
            });
    }

    /// The occlusion mask: 1 minus the bilinear coverage, 0 (seen from the left) to 1 (hole).
    pub fn mask(&self) -> &Plane {
        &self.mask
    }

    /// Gathers one f32 plane of the warp's size through the map, linearly; holes hold whatever
    /// lies beside them until [`Warp::fill`] has run.
    ///
    /// # Panics
    /// When `plane` has another size.
    pub fn plane(&self, plane: &Plane) -> Plane {
        let mut out = [Plane::filled(plane.width(), plane.height(), 0.0)];
        self.planes(&[plane], &mut out);
        let [out] = out;
        out
    }

    /// As [`Warp::plane`], for several planes into others that are overwritten.
    ///
    /// # Panics
    /// When a plane has another size, or there are not as many of the ones as of the others.
    pub fn planes(&self, planes: &[&Plane], out: &mut [Plane]) {
        let (width, height) = (self.source.width(), self.source.height());
        assert_eq!(planes.len(), out.len(), "planes");
        for plane in planes.iter().copied().chain(out.iter()) {
            assert_eq!((plane.width(), plane.height()), (width, height), "plane size");
        }
        let mut rows: Vec<Vec<&mut [f32]>> = (0..height).map(|_| Vec::new()).collect();
        for plane in out {
            let chunks = plane.data_mut().chunks_mut(width);
            rows.iter_mut().zip(chunks).for_each(|(row, chunk)| row.push(chunk));
        }
        rows.par_iter_mut().enumerate().for_each_init(
            || (vec![(0i32, 0.0f32); width], vec![0.0f32; width + 1]),
            |(taps, samples), (y, outs)| {
                // Where samples come from is the same in every plane.
                for (tap, &s) in taps.iter_mut().zip(self.source.row(y)) {
                    let i = s as i32;
                    *tap = (i, s - i as f32);
                }
                for (out, plane) in outs.iter_mut().zip(planes) {
                    samples[..width].copy_from_slice(plane.row(y));
                    samples[width] = samples[width - 1];
                    for (out, &(i, f)) in out.iter_mut().zip(taps.iter()) {
                        let pair = &samples[i as usize..i as usize + 2];
                        *out = pair[0] + (pair[1] - pair[0]) * f;
                    }
                }
            },
        );
    }
}

/// Planes seen from the right eye, and what was not seen.
#[derive(Debug, Clone)]
pub struct Splat {
    /// The warped planes, in the order given; zero where `mask` is 1.
    pub planes: Vec<Plane>,
    /// The occlusion mask, 0 to 1.
    pub mask: Plane,
}

/// Warps f32 planes (any value range) to the right eye by `disparity`, in pixels at their width,
/// positive moves the sample left. Full holes are zero, as the reference pipeline has them.
///
/// # Panics
/// When a plane and `disparity` differ in size.
pub fn splat(planes: &[&Plane], disparity: &Plane) -> Splat {
    let mut warp = Warp::new(disparity.width(), disparity.height());
    warp.splat(disparity);
    let mut out: Vec<Plane> =
        planes.iter().map(|plane| Plane::filled(plane.width(), plane.height(), 0.0)).collect();
    warp.planes(planes, &mut out);
    for plane in &mut out {
        for (v, &m) in plane.data_mut().iter_mut().zip(warp.mask.data()) {
            *v = if m >= 1.0 { 0.0 } else { *v };
        }
    }
    Splat { planes: out, mask: warp.mask }
}

/// One row of the map while it is being built; `mask` holds coverage until the end.
struct Row<'a> {
    source: &'a mut [f32],
    near: &'a mut [f32],
    mask: &'a mut [f32],
}

impl Row<'_> {
    fn splat(self, disparity: &[f32]) {
        let width = disparity.len();
        // Of one length that the compiler knows, so that it need not look at each index.
        let Row { source, near, mask } = self;
        let mut row = Row {
            source: &mut source[..width],
            near: &mut near[..width],
            mask: &mut mask[..width],
        };
        row.trace(disparity);
    }

    #[inline]
    fn trace(&mut self, disparity: &[f32]) {
        let width = disparity.len();
        self.near.fill(UNCLAIMED);
        self.mask.fill(0.0);
        let limit = width as f32;
        let read = |d: f32| if d.is_nan() { 0.0 } else { d.clamp(-limit, limit) };
        // How the current sample hangs together with the one before it.
        let mut torn_before = false;
        let mut joined_before = false;
        let mut d = read(disparity[0]);
        let mut at = -d;
        // First right-eye column that the surface has not reached yet.
        let mut reached = 0;
        for (x, &next_d) in disparity.iter().enumerate().skip(1) {
            let next_d = read(next_d);
            // Columns fit i32, which converts faster than usize.
            let next_at = x as i32 as f32 - next_d;
            let stretch = next_at - at;
            let joined = stretch > 0.0 && stretch < TEAR;
            let torn = stretch >= TEAR;
            // A sample torn on both sides lies on a blurred depth edge, belongs to neither surface
            // and would float in the hole.
            if !(joined_before && joined || torn_before && torn) {
                self.ends(x - 1, at, d, joined_before, joined);
            }
            if joined {
                if !joined_before {
                    reached = ceil(at.max(0.0));
                }
                reached = self.segment(x - 1, (at, next_at), (d, next_d), reached);
            }
            (torn_before, joined_before) = (torn, joined);
            (d, at) = (next_d, next_at);
        }
        self.ends(width - 1, at, d, joined_before, false);
        for coverage in self.mask.iter_mut() {
            *coverage = 1.0 - coverage.min(1.0);
        }
    }

    /// Claims every right-eye sample between two neighbours of one surface, from column `reached`
    /// on, and returns the first column beyond.
    #[inline(always)]
    fn segment(
        &mut self,
        x: usize,
        (from, to): (f32, f32),
        (d_from, d_to): (f32, f32),
        reached: usize,
    ) -> usize {
        let width = self.near.len();
        if to < reached as i32 as f32 {
            return reached;
        }
        // Positions are at most twice the width, so i32 holds them; it converts faster.
        let end = (to as i32 as usize + 1).min(width);
        let scale = 1.0 / (to - from);
        for t in reached..end {
            let along = ((t as i32 as f32 - from) * scale).min(1.0);
            let d = d_from + (d_to - d_from) * along;
            self.mask[t] = 1.0;
            if d > self.near[t] {
                self.near[t] = d;
                self.source[t] = x as i32 as f32 + along;
            }
        }
        end.max(reached)
    }

    /// Lets a surface's end samples cover, bilinearly, the fraction of a pixel beyond them; at half
    /// a pixel they claim it, so that a surface keeps its width wherever it lands.
    fn ends(&mut self, x: usize, at: f32, d: f32, joined_before: bool, joined: bool) {
        let width = self.near.len() as f32;
        if at <= -1.0 || at >= width {
            return;
        }
        let base = at.floor();
        let fraction = at - base;
        if fraction == 0.0 {
            if !joined_before && !joined {
                self.cover(base, 1.0, true, d, x);
            }
            return;
        }
        if !joined_before {
            self.cover(base, 1.0 - fraction, fraction < 0.5, d, x);
        }
        if !joined {
            self.cover(base + 1.0, fraction, fraction >= 0.5, d, x);
        }
    }

    fn cover(&mut self, at: f32, coverage: f32, claims: bool, d: f32, x: usize) {
        if at < 0.0 || at >= self.near.len() as f32 {
            return;
        }
        let t = at as usize;
        self.mask[t] += coverage;
        if claims {
            if d > self.near[t] {
                self.near[t] = d;
                self.source[t] = x as f32;
            }
        } else if self.near[t] == UNCLAIMED {
            self.source[t] = x as f32;
        }
    }
}

/// Ceiling of a non-negative value; `f32::ceil` is a library call on baseline x86-64.
#[inline]
fn ceil(v: f32) -> usize {
    let i = v as usize;
    if (i as f32) < v { i + 1 } else { i }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texture(width: usize, height: usize) -> Plane {
        Plane::from_fn(width, height, |x, y| ((x * 7919 + y * 104_729) % 251) as f32)
    }

    #[test]
    fn zero_disparity_is_the_identity_at_any_size() {
        for (width, height) in [(1, 1), (1, 5), (2, 1), (7, 3), (64, 9)] {
            let plane = texture(width, height);
            let out = splat(&[&plane], &Plane::filled(width, height, 0.0));
            assert_eq!(out.planes[0], plane);
            assert_eq!(out.mask, Plane::filled(width, height, 0.0));
        }
    }

    #[test]
    fn whole_pixels_shift_exactly_and_uncover_one_border() {
        let (width, height) = (16, 3);
        let plane = texture(width, height);
        for shift in [-20i32, -16, -5, -1, 1, 4, 15, 16, 30] {
            let out = splat(&[&plane], &Plane::filled(width, height, shift as f32));
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
            let out = splat(&[&plane], &disparity);
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
            pool.install(|| splat(&[&plane], &disparity))
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
            let out = splat(&[&plane, &plane], &Plane::filled(width, height, 0.0));
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
        fn arbitrary_disparity_gives_finite_samples_inside_the_source(
            width in 1usize..40, height in 1usize..4,
            values in prop::collection::vec(
                prop_oneof![8 => -50.0f32..50.0, 1 => any::<f32>()], 160),
        ) {
            let disparity = Plane::from_fn(width, height, |x, y| values[y * width + x]);
            let mut warp = Warp::new(width, height);
            warp.splat(&disparity);
            warp.fill();
            prop_assert!(warp.mask.data().iter().all(|m| (0.0..=1.0).contains(m)));
            prop_assert!(warp.source.data().iter().all(|s| (0.0..=(width - 1) as f32).contains(s)));
            prop_assert!(warp.near.data().iter().all(|d| d.is_finite()));
        }
    }
}
