//! A film with both eyes, its depth, and what only the right eye sees.

use parallax_frame::Frame;
use parallax_scene::{Camera, Eye, Film, Scene, Stereo};
use parallax_stereo::{Geometry, Plane};

pub(crate) const STEREO: Stereo = Stereo { disparity_percent: 5.0, convergence: 0.25 };

/// The same, as an engine is told.
pub(crate) const GEOMETRY: Geometry =
    Geometry { disparity_percent: STEREO.disparity_percent, convergence: STEREO.convergence };

/// Frames per second.
pub(crate) const RATE: u32 = 24;

/// Rays per pixel and side. With three, the truth's own edges are so coarse that they cost sharp films more
/// than a decibel.
const RAYS: u32 = 5;

/// Pixels around what is hidden that count as its rim.
const RIM: usize = 2;

/// How a film is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Take {
    pub(crate) scene: Scene,
    pub(crate) camera: Camera,
    /// Through a lens that spreads every point over its neighbours: edges are mixed over three pixels
    /// instead of one, as in most footage.
    pub(crate) soft: bool,
}

/// The films that are measured.
pub(crate) const TAKES: [Take; 7] = [
    Take { scene: Scene::Square, camera: Camera::Truck, soft: false },
    Take { scene: Scene::Square, camera: Camera::Tripod, soft: false },
    Take { scene: Scene::Grove, camera: Camera::Truck, soft: false },
    Take { scene: Scene::Grove, camera: Camera::Truck, soft: true },
    Take { scene: Scene::Gallery, camera: Camera::Tripod, soft: false },
    Take { scene: Scene::Gallery, camera: Camera::Tripod, soft: true },
    Take { scene: Scene::Gallery, camera: Camera::Truck, soft: true },
];

/// What the left eye sees of a pixel of the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// The same surface.
    Seen,
    /// The same surface, within two pixels of something hidden.
    Rim,
    /// Something nearer that stands before it.
    Hidden,
    /// Nothing: it lies beyond the left eye's picture.
    Beyond,
}

/// One moment of a film.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    pub(crate) left: Frame,
    pub(crate) right: Frame,
    /// Depth of the left eye, 0 to 1.
    pub(crate) depth: Plane,
    /// What the left eye sees of the right one's pixels, row-major.
    pub(crate) sights: Vec<Sight>,
}

/// `frames` moments of a film of `width` x `height`.
pub(crate) fn film(take: Take, (width, height): (u32, u32), frames: u32) -> Vec<Moment> {
    let Take { scene, camera, soft } = take;
    let film = Film { width, height, stereo: STEREO, scene, camera, samples: RAYS };
    let taken = |frame| if soft { softened(frame) } else { frame };
    (0..frames)
        .map(|n| {
            // Later, when the things of the scene cross before others.
            let seconds = 1.0 + n as f32 / RATE as f32;
            let left = film.view(Eye::Left, seconds, n.into());
            let right = film.view(Eye::Right, seconds, n.into());
            let plane = |depth: Vec<f32>| Plane::new(width as usize, height as usize, depth);
            let (depth, seen) = (plane(left.depth), plane(right.depth));
            let sights = sights(&depth, &seen);
            Moment { left: taken(left.frame), right: taken(right.frame), depth, sights }
        })
        .collect()
}

/// `frame`, which is 4:4:4, with every point spread as 1, 2, 1 across and down.
fn softened(mut frame: Frame) -> Frame {
    let (width, height) = (frame.format().width as usize, frame.format().height as usize);
    for index in 0..3 {
        let plane = Plane::new(width, height, frame.plane_f32(index));
        frame.set_plane_f32(index, spread(&plane).data());
    }
    frame
}

/// Every sample spread as 1, 2, 1 across and down.
pub(crate) fn spread(plane: &Plane) -> Plane {
    let (width, height) = (plane.width(), plane.height());
    let mixed = |a: f32, b: f32, c: f32| 0.25 * a + 0.5 * b + 0.25 * c;
    let across = Plane::from_fn(width, height, |x, y| {
        let at = |x: usize| plane.at(x.min(width - 1), y);
        mixed(at(x.saturating_sub(1)), at(x), at(x + 1))
    });
    Plane::from_fn(width, height, |x, y| {
        let at = |y: usize| across.at(x, y.min(height - 1));
        mixed(at(y.saturating_sub(1)), at(y), at(y + 1))
    })
}

/// What the left eye, whose depth is `depth`, sees of the right one's pixels, whose depth is `seen`. One
/// is hidden where the left eye has something nearer, by a pixel of disparity or more.
fn sights(depth: &Plane, seen: &Plane) -> Vec<Sight> {
    let (width, height) = (depth.width(), depth.height());
    let range = STEREO.disparity_percent / 100.0 * width as f32;
    let mut out = Vec::with_capacity(width * height);
    for y in 0..height {
        for (x, &d) in seen.row(y).iter().enumerate() {
            let from = x as f32 + (d - STEREO.convergence) * range;
            if !(-0.5..width as f32 - 0.5).contains(&from) {
                out.push(Sight::Beyond);
                continue;
            }
            let low = from.max(0.0) as usize;
            let near = |x: usize| (depth.at(x.min(width - 1), y) - d) * range > 1.0;
            out.push(if near(low) && near(low + 1) { Sight::Hidden } else { Sight::Seen });
        }
    }
    let hidden: Vec<usize> = (0..out.len()).filter(|&i| out[i] == Sight::Hidden).collect();
    for i in hidden {
        let (x, y) = (i % width, i / width);
        for y in y.saturating_sub(RIM)..(y + RIM + 1).min(height) {
            for x in x.saturating_sub(RIM)..(x + RIM + 1).min(width) {
                let sight = &mut out[y * width + x];
                *sight = if *sight == Sight::Seen { Sight::Rim } else { *sight };
            }
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
        let sights = sights(&card(40..60), &card(36..56));
        let columns = |sight| (0..100).filter(|&x| sights[x] == sight).collect::<Vec<_>>();
        // Of the card's columns 56 to 59 the last stands beside the open wall.
        assert_eq!(columns(Sight::Hidden), [56, 57, 58]);
        assert_eq!(columns(Sight::Rim), [54, 55, 59, 60]);
        assert_eq!(columns(Sight::Beyond), []);
    }

    #[test]
    fn what_leaves_the_picture_is_beyond_it() {
        let near = Plane::filled(100, 1, 1.0);
        let sights = sights(&near, &near);
        let beyond = (0..100).filter(|&x| sights[x] == Sight::Beyond).collect::<Vec<_>>();
        assert_eq!(beyond, [96, 97, 98, 99]);
    }
}
