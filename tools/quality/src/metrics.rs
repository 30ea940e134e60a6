//! How far one picture is from another. Luma code values of 8 bits throughout.

use parallax_stereo::Plane;

/// Sums over frames, so that a film has one value.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    pub(crate) fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1.0;
    }

    /// `None` when nothing was added.
    pub(crate) fn value(self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }

    /// Peak signal-to-noise ratio in dB, of squared errors.
    pub(crate) fn psnr(self) -> Option<f64> {
        self.value().map(|mse| 10.0 * (255.0 * 255.0 / mse.max(1e-9)).log10())
    }
}

/// Structural similarity of every sample (Wang, Bovik, Sheikh, Simoncelli 2004): a Gaussian window of
/// 11 samples with a deviation of 1.5, borders repeated, K1 = 0.01, K2 = 0.03, L = 255.
pub(crate) fn ssim(a: &Plane, b: &Plane) -> Plane {
    const C1: f32 = (0.01 * 255.0) * (0.01 * 255.0);
    const C2: f32 = (0.03 * 255.0) * (0.03 * 255.0);
    let product = |a: &Plane, b: &Plane| {
        let data = a.data().iter().zip(b.data()).map(|(a, b)| a * b).collect();
        Plane::new(a.width(), a.height(), data)
    };
    let (ma, mb) = (blurred(a), blurred(b));
    let (aa, bb, ab) = (blurred(&product(a, a)), blurred(&product(b, b)), blurred(&product(a, b)));
    Plane::from_fn(a.width(), a.height(), |x, y| {
        let (ma, mb) = (ma.at(x, y), mb.at(x, y));
        let (va, vb) = (aa.at(x, y) - ma * ma, bb.at(x, y) - mb * mb);
        let cov = ab.at(x, y) - ma * mb;
        ((2.0 * ma * mb + C1) * (2.0 * cov + C2)) / ((ma * ma + mb * mb + C1) * (va + vb + C2))
    })
}

fn blurred(plane: &Plane) -> Plane {
    const RADIUS: i32 = 5;
    let taps: Vec<f32> = (-RADIUS..=RADIUS).map(|k| (-(k * k) as f32 / 4.5).exp()).collect();
    let total: f32 = taps.iter().sum();
    let pass = |plane: &Plane, along: bool| {
        Plane::from_fn(plane.width(), plane.height(), |x, y| {
            let mut sum = 0.0;
            for (k, tap) in (-RADIUS..=RADIUS).zip(&taps) {
                let at = |i: usize, size: usize| (i as i32 + k).clamp(0, size as i32 - 1) as usize;
                sum += tap
                    * if along {
                        plane.at(at(x, plane.width()), y)
                    } else {
                        plane.at(x, at(y, plane.height()))
                    };
            }
            sum / total
        })
    };
    pass(&pass(plane, true), false)
}

/// Pearson's correlation of two planes of one size; 0 when one of them is constant.
pub(crate) fn correlation(a: &Plane, b: &Plane) -> f64 {
    let n = a.data().len() as f64;
    let mean = |p: &Plane| p.data().iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let (ma, mb) = (mean(a), mean(b));
    let (mut cov, mut va, mut vb) = (0.0, 0.0, 0.0);
    for (&a, &b) in a.data().iter().zip(b.data()) {
        let (da, db) = (f64::from(a) - ma, f64::from(b) - mb);
        (cov, va, vb) = (cov + da * db, va + da * da, vb + db * db);
    }
    if va * vb > 0.0 { cov / (va * vb).sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waves(offset: f32, gain: f32) -> Plane {
        Plane::from_fn(40, 30, |x, y| 100.0 + offset + gain * (x as f32 * 0.9 + y as f32).sin())
    }

    #[test]
    fn similarity_is_one_for_the_same_and_less_for_less_contrast() {
        let a = waves(0.0, 40.0);
        assert!(ssim(&a, &a).data().iter().all(|s| (s - 1.0).abs() < 1e-4));
        // Half the contrast in flat light: 2 * 0.5 / (1 + 0.25), but for the constants.
        let half = ssim(&a, &waves(0.0, 20.0));
        assert!((half.at(20, 15) - 0.8).abs() < 0.02, "{}", half.at(20, 15));
    }

    #[test]
    fn ratios_are_those_of_the_definition() {
        let mut mean = Mean::default();
        assert_eq!(mean.psnr(), None);
        mean.add(1.0);
        // One code value everywhere.
        assert!((mean.psnr().unwrap_or(0.0) - 48.13).abs() < 0.01);
    }

    #[test]
    fn correlation_ignores_offset_and_gain() {
        assert!((correlation(&waves(0.0, 40.0), &waves(9.0, 4.0)) - 1.0).abs() < 1e-5);
        assert!((correlation(&waves(0.0, 40.0), &waves(0.0, -4.0)) + 1.0).abs() < 1e-5);
        assert_eq!(correlation(&waves(0.0, 40.0), &Plane::filled(40, 30, 3.0)), 0.0);
    }
}
