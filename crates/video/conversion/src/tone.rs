//! High dynamic range as a picture for an ordinary screen: for looking at, not for conversion.
//!
//! Code values become light (PQ: SMPTE ST 2084; HLG: ITU-R BT.2100 at a display of 1000 cd/m²), whose
//! reference white of 203 cd/m² (ITU-R BT.2408) is 1; BT.2020 becomes BT.709 (ITU-R BT.2087); the
//! brightest channel is compressed by Reinhard's extended curve (2002), which keeps the others in
//! proportion; and light becomes the code values of sRGB.

use parallax_frame::Colour;

/// Reference white, cd/m².
const WHITE: f32 = 203.0;
/// The display that HLG is shown on, cd/m², and its system gamma.
const HLG_PEAK: f32 = 1000.0;
const HLG_GAMMA: f32 = 1.2;
/// What becomes white, cd/m². Brighter is white as well.
const PEAK: f32 = 1000.0;
/// BT.2020's primaries in those of BT.709.
const TO_BT709: [[f32; 3]; 3] =
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]];

/// How the high dynamic range of a picture is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transfer {
    Pq,
    Hlg,
}

/// Takes one kind of high dynamic range to an ordinary screen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ToneMap {
    transfer: Transfer,
    wide: bool,
}

impl ToneMap {
    /// The map for pictures of `colour`; `None` where they are ordinary ones.
    pub(crate) fn of(colour: &Colour) -> Option<Self> {
        let transfer = match colour.transfer.as_deref()? {
            "smpte2084" => Transfer::Pq,
            "arib-std-b67" => Transfer::Hlg,
            _ => return None,
        };
        let wide = colour.primaries.as_deref().is_none_or(|primaries| primaries == "bt2020");
        Some(Self { transfer, wide })
    }

    /// Red, green and blue as sRGB, 0 to 1, of non-linear ones, 0 to 1.
    pub(crate) fn map(self, rgb: [f32; 3]) -> [f32; 3] {
        let mut light = match self.transfer {
            Transfer::Pq => rgb.map(|v| 10_000.0 * pq(v) / WHITE),
            Transfer::Hlg => {
                let scene = rgb.map(hlg);
                let luminance = 0.2627 * scene[0] + 0.6780 * scene[1] + 0.0593 * scene[2];
                let gain = luminance.max(1e-6).powf(HLG_GAMMA - 1.0);
                scene.map(|v| HLG_PEAK * gain * v / WHITE)
            }
        };
        if self.wide {
            let row = |row: [f32; 3]| row.iter().zip(light).map(|(a, b)| a * b).sum::<f32>();
            light = TO_BT709.map(row).map(|v| v.max(0.0));
        }
        let brightest = light.into_iter().fold(0.0, f32::max);
        let most = PEAK / WHITE;
        let shown = brightest * (1.0 + brightest / (most * most)) / (1.0 + brightest);
        let gain = if brightest > 0.0 { shown / brightest } else { 0.0 };
        light.map(|v| srgb((v * gain).min(1.0)))
    }
}

/// Share of 10 000 cd/m².
fn pq(value: f32) -> f32 {
    const M1: f32 = 0.159_301_76;
    const M2: f32 = 78.84375;
    const C1: f32 = 0.835_937_5;
    const C2: f32 = 18.851_562;
    const C3: f32 = 18.6875;
    let v = value.clamp(0.0, 1.0).powf(M2.recip());
    ((v - C1).max(0.0) / (C2 - C3 * v)).powf(M1.recip())
}

/// Light of the scene, 0 to 1.
fn hlg(value: f32) -> f32 {
    const A: f32 = 0.178_832_77;
    const B: f32 = 0.284_668_92;
    const C: f32 = 0.559_910_7;
    let v = value.clamp(0.0, 1.0);
    if v <= 0.5 { v * v / 3.0 } else { (((v - C) / A).exp() + B) / 12.0 }
}

fn srgb(light: f32) -> f32 {
    if light <= 0.003_130_8 { 12.92 * light } else { 1.055 * light.powf(2.4f32.recip()) - 0.055 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(transfer: &str) -> Option<ToneMap> {
        let tag = |name: &str| Some(name.to_owned());
        ToneMap::of(&Colour {
            transfer: tag(transfer),
            primaries: tag("bt2020"),
            ..Colour::default()
        })
    }

    #[test]
    fn code_values_mean_the_light_of_the_standards() {
        // BT.2408, table 1: 203 cd/m² is 58 % of PQ and, on the display of 1000 cd/m², 75 % of HLG.
        assert!((10_000.0 * pq(0.5807) - 203.0).abs() < 1.0, "{}", 10_000.0 * pq(0.5807));
        assert!((10_000.0 * pq(0.7518) - 1000.0).abs() < 5.0);
        let shown = HLG_PEAK * hlg(0.75).powf(HLG_GAMMA);
        assert!((shown - 203.0).abs() < 1.0, "{shown}");
        assert!((hlg(1.0) - 1.0).abs() < 1e-3 && (hlg(0.5) - 1.0 / 12.0).abs() < 1e-6);
    }

    #[test]
    fn black_white_and_grey_keep_their_places() {
        for (transfer, white, peak) in [("smpte2084", 0.5807, 0.7518), ("arib-std-b67", 0.75, 1.0)]
        {
            let map = of(transfer).unwrap();
            let grey = |v: f32| {
                let rgb = map.map([v; 3]);
                let spread = rgb.iter().fold(0.0f32, |most, c| most.max((c - rgb[1]).abs()));
                assert!(spread < 0.01, "{transfer}: {rgb:?} is not grey");
                rgb[1]
            };
            assert_eq!(grey(0.0), 0.0);
            // Reference white is half the light of the screen, and a little.
            assert!((grey(white) - srgb(0.52)).abs() < 0.01, "{transfer}: {}", grey(white));
            assert!(grey(peak) > 0.99, "{transfer}: {}", grey(peak));
            let steps: Vec<f32> = (0..=50).map(|i| grey(i as f32 / 50.0)).collect();
            assert!(steps.is_sorted(), "{transfer}: {steps:?}");
        }
    }

    #[test]
    fn colours_of_the_narrow_gamut_come_back() {
        // Pure red of BT.709 at reference white, in BT.2020.
        let red = [0.6274, 0.0691, 0.0164].map(|v: f32| {
            // PQ of that light, found by halving.
            let (mut low, mut high) = (0.0f32, 1.0f32);
            for _ in 0..30 {
                let middle = 0.5 * (low + high);
                if 10_000.0 * pq(middle) < v * WHITE { low = middle } else { high = middle }
            }
            low
        });
        let [r, g, b] = of("smpte2084").unwrap().map(red);
        assert!(r > 0.7 && g < 0.08 && b < 0.08, "{r} {g} {b}");
    }

    #[test]
    fn ordinary_pictures_are_left_alone() {
        assert!(of("bt709").is_none() && ToneMap::of(&Colour::default()).is_none());
    }
}
