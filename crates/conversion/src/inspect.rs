//! What a file is: its layout as it says and as it looks, and the parallax between its eyes.

use std::path::Path;
use std::sync::Arc;

use parallax_frame::{Chroma, Frame, VideoFormat};
use parallax_media::{
    Declaration, DecodeOptions, Decoder, Media, Packets, Span, StereoMode, Tools,
    packing_of_stream, probe, scan,
};
use parallax_stereo::{Layout, Matches, Plane, Rgb, match_eyes};
use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// Samples on the longer side of the pictures that are measured.
const LONGEST: u32 = 1280;
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
/// Samples around each by which two colours are brought to the same contrast.
const AROUND: usize = 8;

/// What to look at.
#[derive(Debug, Clone, Copy)]
pub struct Inspect {
    /// Frames to measure, evenly over the film; 0 measures nothing.
    pub frames: usize,
    /// The layout, where the user knows better than the file.
    pub layout: Option<Layout>,
}

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

/// What a file is.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// Container and streams.
    pub media: Media,
    /// Frames of the main video stream.
    pub frames: u64,
    /// What the container declares.
    pub container: Declaration,
    /// What the stream itself declares, where the container declares nothing.
    pub stream: Option<StereoMode>,
    /// The layout that the declarations mean.
    pub declared: Option<Layout>,
    /// The layout that the file's name tells players.
    pub named: Option<Layout>,
    /// The layout that the pictures look like.
    pub guessed: Guess,
    /// The layout by which parallax was measured: given, declared, named or surely guessed, the first of
    /// them.
    pub layout: Option<Layout>,
    /// What was measured, of the frames at these times (ticks); `None` where there are no two eyes.
    pub matches: Option<Matches>,
    /// Share of what the left eye sees and the right one does not, 0 to 1; `None` where nothing could
    /// be compared, and for anaglyphs, whose colours differ anyway.
    pub occluded: Option<f64>,
    /// Presentation times of the frames that were looked at, in ticks.
    pub moments: Vec<i64>,
}

/// Looks at the file at `path`; decodes only the frames that are measured.
///
/// # Errors
/// `Media` when it cannot be read.
pub fn inspect(
    tools: &Tools,
    path: &Path,
    what: Inspect,
    cancel: &CancellationToken,
) -> Result<Inspection, Error> {
    let media = probe(tools, path, cancel)?;
    let packets = scan(tools, &media, cancel)?;
    let container = media.video.declared;
    let stream = match container.stereo {
        Some(_) => None,
        None => packing_of_stream(tools, &media, cancel)?,
    };
    let declared = declared(&media, container.stereo.or(stream), container.half_sphere);
    let named = named(path);
    let moments = moments(&packets, what.frames);
    let pictures = pictures(tools, &media, &packets, &moments, cancel)?;
    let guessed = guess(shape(&media), &pictures);
    let seen = guessed.layout.filter(|_| guessed.sure);
    let layout = what.layout.or(declared).or(named).or(seen);
    let matches = layout.and_then(|layout| measure(&pictures, layout));
    let frames = packets.shown();
    let anaglyph = layout.is_some_and(Layout::is_anaglyph);
    let occluded = matches.as_ref().filter(|_| !anaglyph).and_then(Matches::occluded);
    Ok(Inspection {
        media,
        frames,
        container,
        stream,
        declared,
        named,
        guessed,
        layout,
        matches,
        occluded,
        moments,
    })
}

/// Evenly spread presentation times, at most `count`.
fn moments(packets: &Packets, count: usize) -> Vec<i64> {
    let times = packets.frame_times().unwrap_or_default();
    let count = count.min(times.len());
    (0..count).map(|k| times[(2 * k + 1) * times.len() / (2 * count)]).collect()
}

fn pictures(
    tools: &Tools,
    media: &Media,
    packets: &Packets,
    moments: &[i64],
    cancel: &CancellationToken,
) -> Result<Vec<Frame>, Error> {
    let mut pictures = Vec::new();
    for &time in moments {
        let span = Span { times: time..time + 1, longest: Some(LONGEST) };
        let options = DecodeOptions::default();
        for frame in Decoder::open_span(tools, media, packets, span, options, cancel)? {
            pictures.push(frame?);
        }
    }
    Ok(pictures)
}

/// Columns of a picture by its rows: halved eyes are stored in the shape of one, whatever the shape
/// of the samples.
fn shape(media: &Media) -> f64 {
    let VideoFormat { width, height, .. } = *media.video.format;
    f64::from(width) / f64::from(height)
}

/// Two eyes side by side are at full size where the picture is wider than any film.
fn side_by_side(shape: f64) -> Layout {
    if shape >= 2.5 { Layout::FullSbs } else { Layout::HalfSbs }
}

/// Two eyes above each other are at full size where the picture is narrower than most films.
fn top_bottom(shape: f64) -> Layout {
    if shape <= 1.25 { Layout::FullTb } else { Layout::HalfTb }
}

fn declared(media: &Media, stereo: Option<StereoMode>, sphere: bool) -> Option<Layout> {
    match stereo? {
        StereoMode::SideBySide if sphere => Some(Layout::Vr180),
        StereoMode::SideBySide => Some(side_by_side(shape(media))),
        StereoMode::SideBySideRightFirst => Some(Layout::CrossEyed),
        StereoMode::TopBottom => Some(top_bottom(shape(media))),
    }
}

/// The layout in a file's name, by the words that players look for.
fn named(path: &Path) -> Option<Layout> {
    let stem = path.file_stem()?.to_string_lossy().to_ascii_lowercase();
    let words: Vec<&str> = stem.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let has = |any: &[&str]| words.iter().any(|word| any.contains(word));
    let anaglyph = has(&["redcyan", "anaglyph"]);
    Some(match () {
        () if anaglyph && has(&["dubois"]) => Layout::AnaglyphDubois,
        () if anaglyph && has(&["optimised", "optimized"]) => Layout::AnaglyphOptimised,
        () if anaglyph && has(&["half"]) => Layout::AnaglyphHalfColour,
        () if anaglyph => Layout::Anaglyph,
        () if has(&["180x180"]) => Layout::Vr180,
        () if has(&["rgbd"]) => Layout::Rgbd,
        () if has(&["rlf"]) => Layout::CrossEyed,
        () if has(&["lrf"]) || has(&["full"]) && has(&["sbs"]) => Layout::FullSbs,
        () if has(&["tbf", "fulltb"]) => Layout::FullTb,
        () if has(&["lr", "sbs", "hsbs", "3dh"]) => Layout::HalfSbs,
        () if has(&["tb", "ou", "hou", "htb", "3dv"]) => Layout::HalfTb,
        () => return None,
    })
}

/// What the pictures, of columns by rows as `shape` says, look like.
fn guess(shape: f64, pictures: &[Frame]) -> Guess {
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

/// Matches the eyes of `pictures`; `None` where the layout holds but one.
fn measure(pictures: &[Frame], layout: Layout) -> Option<Matches> {
    let mut all = Matches::default();
    for frame in pictures {
        let [left, right] = eyes(frame, layout)?;
        all.extend(match_eyes(&left, &right));
    }
    (!pictures.is_empty()).then_some(all)
}

/// Brightness of the left and the right eye, 0 to 1.
fn eyes(frame: &Frame, layout: Layout) -> Option<[Plane; 2]> {
    let (width, height) = (frame.format().width as usize, frame.format().height as usize);
    let luma = luma(frame);
    let half = |x: usize, y: usize, columns: usize, rows: usize| {
        Plane::from_fn(columns, rows, |i, j| luma.at(x + i, y + j))
    };
    let (columns, rows) = (width / 2, height / 2);
    match layout {
        Layout::FullSbs | Layout::HalfSbs | Layout::Vr180 if columns > 0 => {
            Some([half(0, 0, columns, height), half(width - columns, 0, columns, height)])
        }
        Layout::CrossEyed if columns > 0 => {
            Some([half(width - columns, 0, columns, height), half(0, 0, columns, height)])
        }
        Layout::FullTb | Layout::HalfTb if rows > 0 => {
            Some([half(0, 0, width, rows), half(0, height - rows, width, rows)])
        }
        _ if layout.is_anaglyph() => {
            let rgb = Rgb::of(frame.format()).ok()?;
            let [red, green, blue] = rgb.planes(frame);
            let cyan = Plane::from_fn(width, height, |x, y| 0.5 * (green.at(x, y) + blue.at(x, y)));
            Some([contrast(&red), contrast(&cyan)])
        }
        _ => None,
    }
}

/// `plane` with the same mean and deviation everywhere: what is bright in one colour need not be in
/// another, but it ends in the same places.
fn contrast(plane: &Plane) -> Plane {
    let (width, height) = (plane.width(), plane.height());
    // Sums of everything above and to the left, of values and of squares.
    let mut sums = vec![[0.0f64; 2]; (width + 1) * (height + 1)];
    for y in 0..height {
        let mut row = [0.0f64; 2];
        for (x, &v) in plane.row(y).iter().enumerate() {
            let v = f64::from(v);
            row = [row[0] + v, row[1] + v * v];
            let above = sums[y * (width + 1) + x + 1];
            sums[(y + 1) * (width + 1) + x + 1] = [above[0] + row[0], above[1] + row[1]];
        }
    }
    Plane::from_fn(width, height, |x, y| {
        let (left, right) = (x.saturating_sub(AROUND), (x + AROUND + 1).min(width));
        let (top, bottom) = (y.saturating_sub(AROUND), (y + AROUND + 1).min(height));
        let at = |x: usize, y: usize| sums[y * (width + 1) + x];
        let (a, b, c, d) = (at(right, bottom), at(left, bottom), at(right, top), at(left, top));
        let count = ((right - left) * (bottom - top)) as f64;
        let [mean, square] = [0, 1].map(|k| (a[k] - b[k] - c[k] + d[k]) / count);
        // What hardly varies is not blown up.
        let deviation = (square - mean * mean).max(0.0).sqrt() + 0.02;
        (0.5 + 0.25 * (f64::from(plane.at(x, y)) - mean) / deviation) as f32
    })
}

fn luma(frame: &Frame) -> Plane {
    let format: &Arc<VideoFormat> = frame.format();
    let (black, white) = format.colour.luma_limits(format.pixels.bits());
    let (offset, scale) = (f32::from(black), 1.0 / f32::from(white - black));
    let values = frame.plane_f32(0).into_iter().map(|v| (v - offset) * scale).collect();
    Plane::new(format.width as usize, format.height as usize, values)
}

#[cfg(test)]
mod tests {
    use parallax_scene::{Camera, Eye, Film, Scene, Stereo};
    use parallax_stereo::{StereoPair, compose};

    use super::*;

    #[test]
    fn names_are_read_as_players_read_them() {
        for (name, layout) in [
            ("film_LRF_Full_SBS.mp4", Some(Layout::FullSbs)),
            ("film_LR.mp4", Some(Layout::HalfSbs)),
            ("film_TBF_fulltb.mkv", Some(Layout::FullTb)),
            ("film_TB.mkv", Some(Layout::HalfTb)),
            ("film_RLF_cross.mp4", Some(Layout::CrossEyed)),
            ("film_RGBD.mp4", Some(Layout::Rgbd)),
            ("film_180x180_LR.mp4", Some(Layout::Vr180)),
            ("film_redcyan_color.mp4", Some(Layout::Anaglyph)),
            ("film_redcyan_half-color.mp4", Some(Layout::AnaglyphHalfColour)),
            ("film_redcyan_dubois.mp4", Some(Layout::AnaglyphDubois)),
            ("Movie.2012.1080p.HSBS.mkv", Some(Layout::HalfSbs)),
            ("flour.mp4", None),
            ("half full.mp4", None),
        ] {
            assert_eq!(named(Path::new(name)), layout, "{name}");
        }
    }

    #[test]
    fn contrast_is_the_same_whatever_the_brightness() {
        let wave = |x: usize, y: usize| ((x * 7 + y * 3) % 11) as f32 / 11.0;
        let bright = contrast(&Plane::from_fn(40, 30, |x, y| 0.5 + 0.4 * wave(x, y)));
        let dark = contrast(&Plane::from_fn(40, 30, |x, y| 0.1 + 0.3 * wave(x, y)));
        for (a, b) in bright.data().iter().zip(dark.data()) {
            assert!((a - b).abs() < 0.05, "{a} and {b}");
        }
        let flat = contrast(&Plane::filled(40, 30, 0.7));
        assert!(flat.data().iter().all(|v| (v - 0.5).abs() < 0.01));
    }

    #[test]
    fn moments_are_spread_and_never_more_than_there_are() {
        let packet = |pts| parallax_media::Packet {
            pts: Some(pts),
            dts: None,
            duration: 1,
            key: true,
            hidden: false,
        };
        let packets = Packets { packets: (0..10).map(packet).collect() };
        assert_eq!(moments(&packets, 2), [2, 7]);
        assert_eq!(moments(&packets, 99), (0..10).collect::<Vec<_>>());
        assert!(moments(&packets, 0).is_empty());
    }

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
