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
/// Matches of a frame, and parallax in percent of the width that a fifth of them must have, for two
/// colours to be two eyes. One film's colours lie on top of each other: of the rendered sample two in
/// a thousand are further apart.
const ENOUGH_COLOURS: usize = 8;
const APART: f32 = 0.2;
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
    /// The layout that the pictures look like; `None` for one flat picture.
    pub guessed: Option<Layout>,
    /// The layout by which parallax was measured: given, declared, named or guessed, the first of them.
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
    let guessed = guess(&media, &pictures);
    let layout = what.layout.or(declared).or(named).or(guessed);
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
fn side_by_side(media: &Media) -> Layout {
    if shape(media) >= 2.5 { Layout::FullSbs } else { Layout::HalfSbs }
}

/// Two eyes above each other are at full size where the picture is narrower than most films.
fn top_bottom(media: &Media) -> Layout {
    if shape(media) <= 1.25 { Layout::FullTb } else { Layout::HalfTb }
}

fn declared(media: &Media, stereo: Option<StereoMode>, sphere: bool) -> Option<Layout> {
    match stereo? {
        StereoMode::SideBySide if sphere => Some(Layout::Vr180),
        StereoMode::SideBySide => Some(side_by_side(media)),
        StereoMode::SideBySideRightFirst => Some(Layout::CrossEyed),
        StereoMode::TopBottom => Some(top_bottom(media)),
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

/// What the pictures look like.
fn guess(media: &Media, pictures: &[Frame]) -> Option<Layout> {
    let alike = |layout: Layout| -> Option<(f64, Matches)> {
        let matches = measure(pictures, layout)?;
        let share = 1.0 - matches.occluded()?;
        (share >= ALIKE && matches.parallax.len() >= ENOUGH * pictures.len())
            .then_some((share, matches))
    };
    if !pictures.is_empty() && pictures.iter().all(is_rgbd) {
        return Some(Layout::Rgbd);
    }
    let (side, above) = (alike(Layout::FullSbs), alike(Layout::FullTb));
    match (side, above) {
        (Some((side, _)), Some((above, _))) if above > side => Some(top_bottom(media)),
        (Some(_), _) => Some(side_by_side(media)),
        (None, Some(_)) => Some(top_bottom(media)),
        (None, None) => {
            let matches = measure(pictures, Layout::Anaglyph)?.parallax;
            let apart = matches.iter().filter(|p| p.abs() > APART).count();
            let enough = matches.len() >= ENOUGH_COLOURS * pictures.len();
            (enough && 5 * apart > matches.len()).then_some(Layout::Anaglyph)
        }
    }
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
}
