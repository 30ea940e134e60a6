//! How frames are seen.

use parallax_dpt::{Resampling, SizeRule};
use parallax_engine_spec::{Choice, DepthMode, Refused};
use parallax_stereo::ChainOptions;

use crate::family::Family;

/// Shorter side of a network's input, on the processor and on a GPU, which has time for what the networks
/// were trained on.
const SHORTER: [usize; 2] = [280, 518];
/// Sides that are allowed: below, no network knows what it sees; above, memory grows with the square.
const SIDES: std::ops::RangeInclusive<u32> = 140..=1036;

/// What the way to disparity allows.
const CURVES: std::ops::RangeInclusive<f32> = -3.0..=3.0;
const EVERY: std::ops::RangeInclusive<u32> = 1..=8;

/// Choices of an engine.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Options {
    /// Shorter side of the network's input in pixels, 140 to 1036. Defaults to 280 on the processor and 518
    /// on a GPU.
    pub side: Option<u32>,
    /// From the network's depth to disparity.
    pub chain: ChainOptions,
    /// How a network of films sees a shot.
    pub mode: DepthMode,
    /// Resample and make windows as the published programs do, quirks included.
    pub reference: bool,
}

impl Options {
    /// # Errors
    /// Which choice is out of range, what was found, and what is allowed.
    pub fn validate(&self) -> Result<(), Refused> {
        let refused = |choice, found: String, (least, most): (f64, f64)| {
            Err(Refused::of(choice, format!("{found}: allowed are {least} to {most}")))
        };
        if let Some(side) = self.side.filter(|side| !SIDES.contains(side)) {
            let range = (f64::from(*SIDES.start()), f64::from(*SIDES.end()));
            return refused(Choice::DepthSize, side.to_string(), range);
        }
        let ChainOptions { curve, every, .. } = self.chain;
        if !CURVES.contains(&curve) {
            let range = (f64::from(*CURVES.start()), f64::from(*CURVES.end()));
            return refused(Choice::DepthCurve, curve.to_string(), range);
        }
        if !EVERY.contains(&every) {
            let range = (f64::from(*EVERY.start()), f64::from(*EVERY.end()));
            return refused(Choice::DepthEvery, every.to_string(), range);
        }
        Ok(())
    }

    /// The rule by which the network's input follows from a picture's size.
    pub(crate) fn size_rule(&self, family: Family, gpu: bool, longer: bool) -> SizeRule {
        let side = self.side.map_or(SHORTER[usize::from(gpu)], |side| side as usize);
        match family {
            _ if longer => SizeRule::Longer(side * 16 / 9 / 14 * 14),
            // As published, only films are kept from being wide.
            Family::Single if self.reference => SizeRule::Shorter(side),
            Family::Single | Family::Video => SizeRule::ShorterUpTo16To9(side),
        }
    }

    pub(crate) fn resampling(&self) -> Resampling {
        if self.reference { Resampling::Cubic } else { Resampling::Antialiased }
    }
}
