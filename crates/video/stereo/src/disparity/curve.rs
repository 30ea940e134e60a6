//! The curve of depth: where the camera stands.
//!
//! A network's shift is unknown, and whatever range it is normalised to chooses one. Another choice is that
//! of a camera that stands farther away or closer: distances grow by a constant, and the range is
//! normalised again.

use crate::Plane;

/// How many times as far as before the nearest is at a curve of 3.
const MOST: f32 = 3.0;

/// Disparity, 0 to 1, as from a camera that has stepped back by `curve`, -3 to 3.
///
/// With the nearest at 1 and the farthest at infinity, disparity x is at 1/x. A step back by s makes it
/// 1/(1/x + s), which 1 + s brings back to 1 for the nearest.
pub(super) fn apply(depth: &mut Plane, curve: f32) {
    if curve == 0.0 {
        return;
    }
    let farther = MOST.powf(curve / 3.0);
    for v in depth.data_mut() {
        *v = (farther * *v / (1.0 + (farther - 1.0) * *v)).min(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curved(curve: f32) -> Plane {
        let mut ramp = Plane::from_fn(11, 1, |x, _| x as f32 / 10.0);
        apply(&mut ramp, curve);
        ramp
    }

    #[test]
    fn the_ends_stay_and_stepping_back_flattens_what_is_near() {
        for curve in [-3.0f32, -1.0, 0.0, 0.5, 3.0] {
            let got = curved(curve);
            assert!(got.at(0, 0) == 0.0 && (0.999_999..=1.0).contains(&got.at(10, 0)), "{got:?}");
            let rises = got.data().windows(2).all(|pair| pair[0] < pair[1]);
            assert!(rises, "{curve}: {got:?}");
            let more = got.at(1, 0) - (1.0 - got.at(9, 0));
            assert!(more * curve > 1e-3 || (curve == 0.0 && more.abs() < 1e-6), "{curve}: {more}");
        }
        // Three times as far: 1/(1/0.5 + 2) of 1/(1 + 2).
        assert!((curved(3.0).at(5, 0) - 0.75).abs() < 1e-6);
    }

    #[test]
    fn a_step_forward_undoes_a_step_back() {
        let mut there = curved(2.0);
        apply(&mut there, -2.0);
        for (got, want) in there.data().iter().zip(curved(0.0).data()) {
            assert!((got - want).abs() < 1e-6, "{got} {want}");
        }
    }
}
