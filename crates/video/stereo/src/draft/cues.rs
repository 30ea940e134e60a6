//! From evidence to depth: a ground plane, and upright things that stand on it.
//!
//! Below the horizon nearness rises with the row, but less than the disparity of a flat ground would: most
//! of what stands on it is not known to stand, and leans as much as the ground rises behind it. On true
//! scenes right eyes are some 2 dB nearer to the truth for it (`docs/quality.md`).
//! Foreground takes the nearness of the place where it touches the ground and keeps it all the way
//! up, so a standing person is an upright card and not a slope.

use crate::Plane;
use crate::motion::step;

/// Row of the horizon, in parts of the height: a camera held level, tilted slightly down.
const HORIZON: f32 = 0.33;
/// Nearness of the horizon, of the top of the frame (what hangs over is nearer) and of the bottom.
const FAR: f32 = 0.12;
const TOP: f32 = 0.14;
const BOTTOM: f32 = 0.66;
/// How much foreground comes forward beyond its place on the ground.
const LIFT: f32 = 0.18;

/// Evidence from which something is a thing of its own.
const STANDS: (f32, f32) = (0.12, 0.35);
/// What is left, per row without evidence, of the nearness of a thing below.
const BRIDGE: f32 = 0.93;

/// Nearness of row `y` of `height` before anything is known.
pub(super) fn prior(y: usize, height: usize) -> f32 {
    let at = (y as f32 + 0.5) / height as f32;
    if at < HORIZON {
        let up = 1.0 - at / HORIZON;
        FAR + (TOP - FAR) * up * up
    } else {
        // To the power of 3/2: flat where far things stand, steep before one's feet.
        let down = (at - HORIZON) / (1.0 - HORIZON);
        FAR + (BOTTOM - FAR) * down * down.sqrt()
    }
}

/// Depth, 0 far to 1 near, from foreground `evidence` of 0 to 1.
pub(super) fn depth(evidence: &Plane) -> Plane {
    let (width, height) = (evidence.width(), evidence.height());
    let mut out = Plane::filled(width, height, 0.0);
    // Nearness of what stands one row further down, fading where nothing does, so that a belt or a
    // hand in the way does not cut a person in two.
    let mut below = vec![0.0f32; width];
    let mut here = vec![0.0f32; width];
    for y in (0..height).rev() {
        let ground = prior(y, height);
        let (evidence, out) = (evidence.row(y), out.row_mut(y));
        for x in 0..width {
            let left = below[x.saturating_sub(1)];
            let right = below[(x + 1).min(width - 1)];
            let stands = step(STANDS.0, STANDS.1, evidence[x]);
            let rise = (below[x].max(left).max(right) - ground).max(0.0);
            here[x] = ground + rise * stands.max(BRIDGE);
            let lift = LIFT * stands * evidence[x].min(1.0);
            out[x] = (ground + rise * stands + lift).clamp(0.0, 1.0);
        }
        std::mem::swap(&mut below, &mut here);
    }
    out
}
