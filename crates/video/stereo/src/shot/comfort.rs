//! How much parallax is watched without strain.
//!
//! The defaults are those of BSkyB's "Technical Guidelines for Plano Stereoscopic (3D) Programme Content",
//! written for screens of 46 to 70 inches: 1 % of the width in front of the screen and 2 % behind it, with up
//! to 2.5 % and 4 % for moments. 2 % of the widest of those screens is 31 mm, half of what lies between two
//! eyes, so nobody's eyes have to diverge. On a small screen the same percentage is less, on a cinema's more.

use serde::{Deserialize, Serialize};

use crate::Error;

/// The share of a limit up to which parallax is left alone; beyond, it is compressed.
const KNEE: f32 = 0.8;

/// Limits of parallax, in percent of the picture's width.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Comfort {
    /// In front of the screen (crossed), 0 to 10.
    pub front_percent: f32,
    /// Behind the screen (uncrossed), 0 to 10.
    pub behind_percent: f32,
}

impl Default for Comfort {
    fn default() -> Self {
        Self { front_percent: 1.0, behind_percent: 2.0 }
    }
}

impl Comfort {
    /// # Errors
    /// `Unsupported` naming the field, what was found and what is allowed.
    pub fn validate(&self) -> Result<(), Error> {
        let fields = [("front", self.front_percent), ("behind", self.behind_percent)];
        for (name, found) in fields {
            if !(0.0..=10.0).contains(&found) {
                let what = format!("comfort, {name} {found} percent: allowed is 0 to 10");
                return Err(Error::Unsupported(what));
            }
        }
        Ok(())
    }

    /// Disparity in pixels at `width_px` (positive in front) within the limits: unchanged up to four
    /// fifths of them, compressed beyond so that order is kept and the limit never passed.
    pub fn limit(&self, disparity: f32, width_px: f32) -> f32 {
        if disparity > 0.0 {
            soft(disparity, self.front_percent / 100.0 * width_px)
        } else {
            -soft(-disparity, self.behind_percent / 100.0 * width_px)
        }
    }
}

/// The identity up to the knee, then a hyperbola with the same slope there and `limit` as its asymptote.
fn soft(value: f32, limit: f32) -> f32 {
    let knee = KNEE * limit;
    let room = limit - knee;
    let over = value - knee;
    if over <= 0.0 { value } else { knee + room * over / (over + room) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_kept_and_order_is() {
        let comfort = Comfort::default();
        let mut last = f32::NEG_INFINITY;
        for i in -1000..=1000 {
            let disparity = i as f32 * 0.2;
            let limited = comfort.limit(disparity, 1000.0);
            assert!((-20.0..=10.0).contains(&limited), "{disparity} became {limited}");
            assert!(limited > last, "{disparity} became {limited} after {last}");
            if (-16.0..=8.0).contains(&disparity) {
                assert_eq!(limited, disparity);
            }
            last = limited;
        }
        assert!(last > 9.9, "{last}");
    }

    #[test]
    fn nothing_may_stand_in_front_at_a_limit_of_zero() {
        let comfort = Comfort { front_percent: 0.0, behind_percent: 1.0 };
        assert_eq!(comfort.limit(5.0, 100.0), 0.0);
        assert_eq!(comfort.limit(0.0, 100.0), 0.0);
        assert_eq!(comfort.limit(-0.5, 100.0), -0.5);
    }

    #[test]
    fn limits_out_of_range_are_refused_by_name() {
        let error = Comfort { front_percent: 1.0, behind_percent: 11.0 }.validate().unwrap_err();
        assert_eq!(error.to_string(), "comfort, behind 11 percent: allowed is 0 to 10");
    }
}
