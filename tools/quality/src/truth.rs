//! A film with both eyes, its depth, and what only the right eye sees.

use parallax_frame::Frame;
use parallax_scene::{Camera, Eye, Film, Stereo};
use parallax_stereo::{Geometry, Plane};

pub(crate) const STEREO: Stereo = Stereo { disparity_percent: 5.0, convergence: 0.25 };

/// The same, as an engine is told.
pub(crate) const GEOMETRY: Geometry =
    Geometry { disparity_percent: STEREO.disparity_percent, convergence: STEREO.convergence };

/// Frames per second.
pub(crate) const RATE: u32 = 24;

/// One moment of a film.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    pub(crate) left: Frame,
    pub(crate) right: Frame,
    /// Depth of the left eye, 0 to 1.
    pub(crate) depth: Plane,
    /// Where the right eye sees what the left one does not, row-major.
    pub(crate) hidden: Vec<bool>,
}

/// `frames` moments of a film of `width` x `height`.
pub(crate) fn film(camera: Camera, (width, height): (u32, u32), frames: u32) -> Vec<Moment> {
    let film = Film { width, height, stereo: STEREO, camera, samples: 3 };
    (0..frames)
        .map(|n| {
            // Later, when the things of the scene cross before others.
            let seconds = 1.0 + n as f32 / RATE as f32;
            let left = film.view(Eye::Left, seconds, n.into());
            let right = film.view(Eye::Right, seconds, n.into());
            let plane = |depth: Vec<f32>| Plane::new(width as usize, height as usize, depth);
            let (depth, seen) = (plane(left.depth), plane(right.depth));
            let hidden = hidden(&depth, &seen);
            Moment { left: left.frame, right: right.frame, depth, hidden }
        })
        .collect()
}

/// Where the right eye, whose depth is `seen`, sees what the left one, whose depth is `depth`, does not:
/// where the left eye has something nearer, by a pixel of disparity or more, or nothing at all.
fn hidden(depth: &Plane, seen: &Plane) -> Vec<bool> {
    let width = depth.width() as f32;
    let range = STEREO.disparity_percent / 100.0 * width;
    let mut out = Vec::with_capacity(seen.data().len());
    for y in 0..seen.height() {
        for (x, &d) in seen.row(y).iter().enumerate() {
            let from = x as f32 + (d - STEREO.convergence) * range;
            if !(-0.5..width - 0.5).contains(&from) {
                out.push(true);
                continue;
            }
            let low = from.max(0.0) as usize;
            let near = |x: usize| (depth.at(x.min(depth.width() - 1), y) - d) * range > 1.0;
            out.push(near(low) && near(low + 1));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_is_what_a_card_covers_in_the_left_eye() {
        // 100 columns: the wall stays, the card at depth 1 comes 3.75 columns to the left.
        let card = |columns: std::ops::Range<usize>| {
            let wall = STEREO.convergence;
            Plane::from_fn(100, 1, |x, _| if columns.contains(&x) { 1.0 } else { wall })
        };
        let hidden = hidden(&card(40..60), &card(36..56));
        let columns: Vec<usize> = (0..100).filter(|&x| hidden[x]).collect();
        // Of the card's columns 56 to 59 the last stands beside the open wall.
        assert_eq!(columns, [56, 57, 58]);
    }
}
