//! A network that knows the depth of a film, as badly as networks do.

use parallax_frame::Frame;
use parallax_stereo::{Error, InverseDepth, Plane};

use crate::truth::{Moment, spread};

/// How far what it says is from the truth. Depth has a range of one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Faults {
    /// Deviation of every sample.
    pub(crate) noise: f32,
    /// Most by which scale and shift differ from frame to frame.
    pub(crate) scale: f32,
    pub(crate) shift: f32,
}

/// Those of a network that sees one frame at a time.
pub(crate) const SINGLE: Faults = Faults { noise: 0.015, scale: 0.08, shift: 0.05 };
/// Those of one that sees many.
pub(crate) const VIDEO: Faults = Faults { noise: 0.005, scale: 0.0, shift: 0.0 };

/// Its samples per pixel of the film and side, as those of 252x448 are to 1280x720, in steps of 14.
const SIZE: f32 = 0.35;
const STEP: usize = 14;
/// What it takes for one.
const UNIT: f32 = 7.0;

/// Gives the planes of a film's frames, by their times.
#[derive(Debug)]
pub(crate) struct Network {
    planes: Vec<Plane>,
    consistent: bool,
}

impl Network {
    pub(crate) fn of(film: &[Moment], faults: Faults) -> Self {
        let mut noise = Noise(1);
        let planes = film.iter().map(|moment| said(&moment.depth, faults, &mut noise)).collect();
        Self { planes, consistent: faults.scale + faults.shift == 0.0 }
    }
}

impl InverseDepth for Network {
    fn begin_shot(&mut self) {}

    fn push(&mut self, frame: &Frame) -> Result<Vec<Plane>, Error> {
        Ok(self.planes.get(frame.pts as usize).cloned().into_iter().collect())
    }

    fn finish_shot(&mut self) -> Result<Vec<Plane>, Error> {
        Ok(Vec::new())
    }

    fn consistent(&self) -> bool {
        self.consistent
    }
}

/// What it says of a frame of this `depth`.
fn said(depth: &Plane, faults: Faults, noise: &mut Noise) -> Plane {
    let sized = |size: usize| (size as f32 * SIZE / STEP as f32).round() as usize * STEP;
    let small = spread(&reduced(depth, sized(depth.width()), sized(depth.height())));
    let scale = UNIT * (1.0 + faults.scale * noise.even());
    let shift = UNIT * faults.shift * noise.even();
    let value = |v: &f32| scale * (v + faults.noise * noise.normal()) + shift;
    let data = small.data().iter().map(value).collect();
    Plane::new(small.width(), small.height(), data)
}

/// Means over what each of the fewer samples covers.
fn reduced(plane: &Plane, columns: usize, rows: usize) -> Plane {
    let part = |i: usize, of: usize, size: usize| i * size / of..((i + 1) * size).div_ceil(of);
    Plane::from_fn(columns, rows, |x, y| {
        let (across, down) = (part(x, columns, plane.width()), part(y, rows, plane.height()));
        let count = across.len() * down.len();
        let sum: f32 = down.map(|y| plane.row(y)[across.clone()].iter().sum::<f32>()).sum();
        sum / count as f32
    })
}

/// The same numbers every time.
#[derive(Debug)]
struct Noise(u64);

impl Noise {
    /// -1 to 1, all alike.
    fn even(&mut self) -> f32 {
        let state = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = state.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// Of deviation one, nearly normal.
    fn normal(&mut self) -> f32 {
        self.even() + self.even() + self.even()
    }
}

/// Depths of every frame, brought onto the film's own by one scale and shift: a network knows neither.
pub(crate) fn fitted(mut depths: Vec<Plane>, film: &[Moment]) -> Vec<Plane> {
    let (mut n, mut x, mut y, mut xx, mut xy) = (0.0f64, 0.0, 0.0, 0.0, 0.0);
    for (depth, moment) in depths.iter().zip(film) {
        for (&d, &t) in depth.data().iter().zip(moment.depth.data()) {
            let (d, t) = (f64::from(d), f64::from(t));
            (n, x, y, xx, xy) = (n + 1.0, x + d, y + t, xx + d * d, xy + d * t);
        }
    }
    let spread = n * xx - x * x;
    let scale = if spread > 0.0 { (n * xy - x * y) / spread } else { 0.0 };
    let shift = (y - scale * x) / n.max(1.0);
    for v in depths.iter_mut().flat_map(Plane::data_mut) {
        *v = (scale * f64::from(*v) + shift) as f32;
    }
    depths
}
