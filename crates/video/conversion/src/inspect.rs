//! What a file is: its layout as it says and as it looks, and the parallax between its eyes.

mod eyes;
mod guess;
mod shape;

use std::path::Path;

use parallax_frame::{Frame, VideoFormat};
use parallax_media::{
    DamageKind, Declaration, DecodeOptions, Decoder, Media, Packets, Result as MediaResult, Span,
    StereoMode, Tools, packing_of_stream, probe, scan,
};
use parallax_stereo::{Layout, Matches};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::names::named;
pub use guess::Guess;
use {
    eyes::measure,
    guess::guess,
    shape::{side_by_side, top_bottom},
};

/// Samples on the longer side of the pictures that are measured.
const LONGEST: u32 = 1280;

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
    let mut media = probe(tools, path, cancel)?;
    let packets = scan(tools, &media, cancel)?;
    if packets.damage.count(DamageKind::Clock) > 0 {
        // What a clock says that jumps is no length.
        let times = packets.frame_times().and_then(|times| times.first().copied());
        let length = times.zip(packets.end()).map(|(first, end)| end - first);
        media.duration_seconds = length.map(|ticks| media.video.time_base.seconds(ticks));
    }
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

/// What the pictures of a film look like, by `count` of them.
///
/// # Errors
/// When they cannot be read.
pub(crate) fn look(
    tools: &Tools,
    media: &Media,
    count: usize,
    cancel: &CancellationToken,
) -> MediaResult<Guess> {
    let packets = scan(tools, media, cancel)?;
    let moments = moments(&packets, count);
    let pictures = pictures(tools, media, &packets, &moments, cancel)?;
    Ok(guess(shape(media), &pictures))
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
) -> MediaResult<Vec<Frame>> {
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

fn declared(media: &Media, stereo: Option<StereoMode>, sphere: bool) -> Option<Layout> {
    match stereo? {
        StereoMode::SideBySide if sphere => Some(Layout::Vr180),
        StereoMode::SideBySide => Some(side_by_side(shape(media))),
        StereoMode::SideBySideRightFirst => Some(Layout::CrossEyed),
        StereoMode::TopBottom => Some(top_bottom(shape(media))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_spread_and_never_more_than_there_are() {
        let packets: Vec<_> = (0..10).map(parallax_media::Packet::at).collect();
        let packets = Packets::from(packets);
        assert_eq!(moments(&packets, 2), [2, 7]);
        assert_eq!(moments(&packets, 99), (0..10).collect::<Vec<_>>());
        assert!(moments(&packets, 0).is_empty());
    }
}
