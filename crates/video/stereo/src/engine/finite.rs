//! Numbers that are not numbers: what was found, where, and how a person is told.
//!
//! NaN passes through every sum and vanishes in every comparison, so a picture made of it looks like one
//! made of black. Whatever estimates or invents is therefore looked at where its results come out.

use std::fmt;

use crate::{Plane, Stage};

/// How many of some values are not finite numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Odd {
    /// Values that are not a number.
    pub nan: u64,
    /// Values that are infinite, of either sign.
    pub infinite: u64,
    /// All values.
    pub values: u64,
}

impl Odd {
    /// Counts them; `None` when all `values` are finite.
    pub fn among(values: &[f32]) -> Option<Self> {
        // The largest of the bits without signs: integers are compared many at once, and both infinity
        // and NaN lie above every finite number.
        let most = values.iter().fold(0, |most: u32, v| most.max(v.to_bits() & 0x7fff_ffff));
        if most < f32::INFINITY.to_bits() {
            return None;
        }
        let count = |odd: fn(&f32) -> bool| values.iter().filter(|&v| odd(v)).count() as u64;
        Some(Self {
            nan: count(|v| v.is_nan()),
            infinite: count(|v| v.is_infinite()),
            values: values.len() as u64,
        })
    }
}

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.nan, self.infinite) {
            (nan, 0) => write!(f, "{nan} NaN")?,
            (0, infinite) => write!(f, "{infinite} infinite")?,
            (nan, infinite) => write!(f, "{nan} NaN and {infinite} infinite")?,
        }
        write!(f, " of {} values", self.values)
    }
}

/// A piece of work whose result is not numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotFinite {
    /// The part of the engine's work.
    pub stage: Stage,
    /// What gave them, such as a network and the type that it computed in.
    pub source: String,
    /// The frames, and the part of their pictures.
    pub place: String,
    /// What was found.
    pub found: Odd,
}

impl NotFinite {
    /// What is wrong with an estimator's `depth` of a frame, if anything.
    pub fn in_depth(depth: &Plane, place: impl FnOnce() -> String) -> Option<Self> {
        let found = Odd::among(depth.data())?;
        Some(Self { stage: Stage::Depth, source: "its estimate".to_owned(), place: place(), found })
    }
}

impl fmt::Display for NotFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stage, source, place, found } = self;
        write!(f, "{stage}: {source} gave {found} for {place}")
    }
}

/// Why a piece of work is done again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retry {
    /// The device had no room; what is computed stays the same.
    OutOfMemory(Stage),
    /// The networks' type was too narrow for it: this piece is computed in f32.
    Wider(NotFinite),
}

impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory(stage) => {
                write!(f, "{stage}: memory ran out; done again with fewer networks in memory")
            }
            Self::Wider(found) => write!(f, "{found}; this piece is done again in f32"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_counted_and_everything_else_is_finite() {
        let fine = [0.0, -0.0, f32::MIN_POSITIVE, f32::MAX, f32::MIN, 1e-45];
        assert_eq!(Odd::among(&fine), None);
        assert_eq!(Odd::among(&[]), None);
        let odd = |more: &[f32]| Odd::among(&[fine.as_slice(), more].concat()).unwrap().to_string();
        assert_eq!(odd(&[f32::NAN]), "1 NaN of 7 values");
        assert_eq!(odd(&[f32::INFINITY, f32::NEG_INFINITY]), "2 infinite of 8 values");
        assert_eq!(odd(&[f32::NAN, -f32::NAN, f32::INFINITY]), "2 NaN and 1 infinite of 9 values");
    }
}
