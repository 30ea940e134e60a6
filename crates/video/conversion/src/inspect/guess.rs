//! The layout that pictures look like.

use parallax_frame::{Chroma, Frame};
use parallax_stereo::{Layout, Matches};

use super::eyes::measure;
use super::shape::{side_by_side, top_bottom};

/// Share of the blocks, and their number, that must be found again for two halves to be two eyes.
const ALIKE: f64 = 0.6;
const ENOUGH: usize = 24;
/// Parallax in percent of the width by which things are apart, and the share of the matches that is, for
/// two colours to be two eyes; below the least share they are one picture, and between the two nobody
/// knows. In ordinary films, whose colours lie on top of each other, 0.5 % of the matches are apart; in
/// anaglyphs of 1 % of parallax, a tenth and more.
const APART: f32 = 0.2;
const TWO_EYES: f64 = 0.2;
const ONE_PICTURE: f64 = 0.05;
/// Parallax that no film has, and the share of matches that may have it: more are coincidences.
const STRAY: f32 = 6.0;
const STRAYS: f64 = 0.05;
/// Share of the blocks of one colour that must be found in the others for them to tell anything. Of
/// anaglyphs it was 28 % and more, of test patterns and noise up to 13 %.
const FOUND: f64 = 0.2;
/// Parallax, and the share of matches that must have it, for two equal halves to be two eyes and not one
/// pattern that is repeated.
const MOVED: f32 = 0.05;
const MOVES: f64 = 0.02;

/// What pictures look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guess {
    /// The layout; `None` for one flat picture, or for nothing that could be told.
    pub layout: Option<Layout>,
    /// Whether the pictures leave no doubt.
    pub sure: bool,
}

impl Guess {
    const FLAT: Self = Self { layout: None, sure: true };
    const UNKNOWN: Self = Self { layout: None, sure: false };

    fn sure(layout: Layout) -> Self {
        Self { layout: Some(layout), sure: true }
    }

    fn perhaps(layout: Layout) -> Self {
        Self { layout: Some(layout), sure: false }
    }
}

/// What the pictures, of columns by rows as `shape` says, look like.
pub(super) fn guess(shape: f64, pictures: &[Frame]) -> Guess {
    let alike = |layout: Layout| -> Option<(f64, Matches)> {
        let matches = measure(pictures, layout)?;
        let share = 1.0 - matches.occluded()?;
        (share >= ALIKE && matches.parallax.len() >= ENOUGH * pictures.len())
            .then_some((share, matches))
    };
    if !pictures.is_empty() && pictures.iter().all(is_rgbd) {
        return Guess::sure(Layout::Rgbd);
    }
    let halves =
        [(alike(Layout::FullSbs), side_by_side(shape)), (alike(Layout::FullTb), top_bottom(shape))];
    let halves = halves.into_iter().filter_map(|(found, layout)| Some((found?, layout)));
    // Of two that fit as well, the first.
    let best = halves.rev().max_by(|a, b| a.0.0.total_cmp(&b.0.0));
    if let Some(((_, matches), layout)) = best {
        let moves = share(&matches, |p| p.abs() > MOVED) >= MOVES;
        let strays = share(&matches, |p| p.abs() > STRAY) > STRAYS;
        return if moves && !strays { Guess::sure(layout) } else { Guess::perhaps(layout) };
    }
    match measure(pictures, Layout::Anaglyph) {
        Some(matches) => of_colours(&matches, pictures.len()),
        None => Guess::UNKNOWN,
    }
}

/// What red and the other colours of `pictures` pictures say, matched with each other.
fn of_colours(matches: &Matches, pictures: usize) -> Guess {
    let found = matches.occluded().map_or(0.0, |hidden| 1.0 - hidden);
    let strays = share(matches, |p| p.abs() > STRAY);
    if matches.parallax.len() < ENOUGH * pictures || found < FOUND || strays > STRAYS {
        return Guess::UNKNOWN;
    }
    let apart = share(matches, |p| p.abs() > APART);
    match apart {
        apart if apart >= TWO_EYES => Guess::sure(Layout::Anaglyph),
        apart if apart >= ONE_PICTURE => Guess::perhaps(Layout::Anaglyph),
        _ => Guess::FLAT,
    }
}

/// The share of the matches whose parallax is so.
fn share(matches: &Matches, so: impl Fn(f32) -> bool) -> f64 {
    let count = matches.parallax.iter().filter(|p| so(**p)).count();
    count as f64 / matches.parallax.len().max(1) as f64
}

/// Whether the right half, and only it, is grey.
fn is_rgbd(frame: &Frame) -> bool {
    let format = frame.format();
    if format.pixels.chroma() == Chroma::Gray {
        return false;
    }
    let neutral = f32::from(128u16 << (format.pixels.bits() - 8));
    let width = format.plane(1).width;
    // Two halves and a column between them, which may hold some of both.
    if width < 3 {
        return false;
    }
    let colour = |from: usize, to: usize| {
        let planes = [1, 2].map(|index| {
            let plane = frame.plane_f32(index);
            let rows = plane.chunks(width).flat_map(|row| &row[from..to]);
            rows.map(|v| (v - neutral).abs() / neutral).sum::<f32>()
        });
        (planes[0] + planes[1]) / ((to - from) * format.plane(1).height) as f32
    };
    let (left, right) = (colour(0, width / 2), colour(width - width / 2 + 1, width));
    left > 0.03 && right < 0.01
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parallax_scene::{Camera, Eye, Film, Scene, Stereo};
    use parallax_stereo::{Plane, Rgb, StereoPair, compose};

    use super::*;

    /// Both eyes of a scene, two seconds into it.
    fn pair(scene: Scene, camera: Camera, percent: f32) -> StereoPair {
        let stereo = Stereo { disparity_percent: percent, convergence: 0.4 };
        let film = Film { width: 480, height: 270, stereo, scene, camera, samples: 2 };
        let view = |eye| film.view(eye, 2.0, 0).frame;
        StereoPair { left: view(Eye::Left), right: view(Eye::Right) }
    }

    const ANAGLYPHS: [Layout; 4] = [
        Layout::Anaglyph,
        Layout::AnaglyphHalfColour,
        Layout::AnaglyphOptimised,
        Layout::AnaglyphDubois,
    ];

    #[test]
    fn anaglyphs_of_every_scene_are_told_from_ordinary_pictures() {
        for scene in Scene::ALL {
            for camera in [Camera::Truck, Camera::Tripod] {
                let wide = pair(scene, camera, 4.0);
                let flat = std::slice::from_ref(&wide.left);
                assert_eq!(guess(16.0 / 9.0, flat), Guess::FLAT, "{scene:?} {camera:?}");
                let anaglyph = |pair: &StereoPair, layout| {
                    guess(16.0 / 9.0, &[compose(pair, layout).unwrap()])
                };
                for layout in ANAGLYPHS {
                    let seen = anaglyph(&wide, layout);
                    assert_eq!(seen, Guess::sure(Layout::Anaglyph), "{scene:?} {layout}");
                }
                // Hardly any parallax: there may be doubt, but none that it is one picture.
                let narrow = pair(scene, camera, 1.0);
                for layout in ANAGLYPHS {
                    let seen = anaglyph(&narrow, layout);
                    assert_ne!(seen, Guess::FLAT, "{scene:?} {layout}");
                }
            }
        }
    }

    /// A picture out of red, green and blue by column and row.
    fn picture(rgb: impl Fn(usize, usize) -> [f32; 3]) -> Frame {
        let film = Film {
            width: 480,
            height: 270,
            stereo: Stereo::default(),
            scene: Scene::Square,
            camera: Camera::Tripod,
            samples: 1,
        };
        let planes = [0, 1, 2].map(|c| Plane::from_fn(480, 270, |x, y| rgb(x, y)[c]));
        Rgb::of(&Arc::new(film.format())).unwrap().frame(&planes, 0)
    }

    /// A fixed random value, 0 to 1.
    fn noise(x: usize, y: usize, seed: usize) -> f32 {
        let mut h = (x * 0x9E37_79B1 + y * 0x85EB_CA6B + seed * 0xC2B2_AE35) as u32;
        h = (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D);
        h = (h ^ (h >> 12)).wrapping_mul(0x297A_2D39);
        ((h ^ (h >> 15)) % 1000) as f32 / 999.0
    }

    #[test]
    fn strong_colours_are_no_anaglyph() {
        let coarse = |x: usize, y: usize, size: usize, seed| noise(x / size, y / size, seed);
        let patches = |size| {
            picture(move |x, y| [0, 1, 2].map(|seed| (coarse(x, y, size, seed) > 0.5).into()))
        };
        let blurred = |x: usize, y: usize, seed| {
            let at = |i, j| noise(x / 8 + i, y / 8 + j, seed);
            let (u, v) = ((x % 8) as f32 / 8.0, (y % 8) as f32 / 8.0);
            (at(0, 0) * (1.0 - u) + at(1, 0) * u) * (1.0 - v)
                + (at(0, 1) * (1.0 - u) + at(1, 1) * u) * v
        };
        let waves = |x: usize, y: usize, k: f32| {
            0.5 + 0.5 * (x as f32 * (0.11 + 0.05 * k) + y as f32 * (0.07 - 0.03 * k)).sin()
        };
        let stripes = |x: usize, width: usize| f32::from((x / width).is_multiple_of(2));
        let pictures = [
            ("patches of 5", patches(5)),
            ("patches of 12", patches(12)),
            ("patches of 31", patches(31)),
            ("noise in each colour", picture(|x, y| [0, 1, 2].map(|c| noise(x, y, c)))),
            ("clouds in each colour", picture(|x, y| [0, 1, 2].map(|c| blurred(x, y, c)))),
            ("waves", picture(|x, y| [0.0, 1.0, 2.0].map(|c| waves(x, y, c)))),
            ("stripes", picture(|x, y| [stripes(x, 9), stripes(x + 4, 13), stripes(y, 7)])),
            ("bars", picture(|x, _| [4, 2, 1].map(|bit| f32::from((x / 60) as u8 & bit > 0)))),
            ("one colour", picture(|_, _| [0.7, 0.2, 0.1])),
        ];
        for (name, picture) in pictures {
            let seen = guess(16.0 / 9.0, &[picture]);
            assert!(!seen.sure || seen.layout.is_none(), "{name}: {seen:?}");
        }
    }

    #[test]
    fn pictures_too_small_for_two_halves_tell_nothing() {
        for (width, height) in [(1, 1), (1, 200), (2, 2), (3, 1), (200, 1)] {
            let film = Film {
                width,
                height,
                stereo: Stereo::default(),
                scene: Scene::Square,
                camera: Camera::Tripod,
                samples: 1,
            };
            let pictures = Rgb::of(&Arc::new(film.format())).unwrap();
            let (columns, rows) = (width as usize, height as usize);
            let planes = [0.7, 0.2, 0.1].map(|v| Plane::from_fn(columns, rows, |_, _| v));
            let seen = guess(f64::from(width) / f64::from(height), &[pictures.frame(&planes, 0)]);
            assert_eq!(seen, Guess::UNKNOWN, "{width}x{height}");
        }
    }

    #[test]
    fn equal_halves_may_be_a_pattern() {
        let tile = |x: usize, y: usize| {
            let (x, y) = (x % 240, y % 270);
            [noise(x / 5, y / 5, 1), noise(x / 5, y / 5, 2), noise(x / 5, y / 5, 3)]
        };
        let seen = guess(16.0 / 9.0, &[picture(tile)]);
        assert_eq!(seen, Guess::perhaps(Layout::HalfSbs));
        let eyes = pair(Scene::Grove, Camera::Truck, 4.0);
        let both = compose(&eyes, Layout::FullSbs).unwrap();
        assert_eq!(guess(32.0 / 9.0, &[both]), Guess::sure(Layout::FullSbs));
    }

    #[test]
    fn few_matches_and_far_ones_tell_nothing() {
        let of =
            |parallax: Vec<f32>, hidden| of_colours(&Matches { parallax, hidden, ambiguous: 0 }, 1);
        assert_eq!(of(vec![0.0; 100], 20), Guess::FLAT);
        assert_eq!(of(vec![0.8; 100], 20), Guess::sure(Layout::Anaglyph));
        assert_eq!(
            of([vec![0.0; 90], vec![0.8; 10]].concat(), 20),
            Guess::perhaps(Layout::Anaglyph)
        );
        assert_eq!(of(vec![0.8; 100], 500), Guess::UNKNOWN);
        assert_eq!(of(vec![0.8; 10], 0), Guess::UNKNOWN);
        assert_eq!(of([vec![0.8; 90], vec![-9.0; 10]].concat(), 0), Guess::UNKNOWN);
        assert_eq!(of(Vec::new(), 0), Guess::UNKNOWN);
    }
}
