//! Where shots begin: at which of the places where a film can be cut, and how far back from a segment.
//!
//! Keyframes are known without decoding, shots are not. Only the frames around the places in
//! question are looked at, small, so that planning stays much cheaper than converting.

use std::path::Path;

use parallax_frame::Frame;
use parallax_media::{
    DecodeOptions, Decoder, Kind, Media, Packets, Result, Span, Tools, cut_points,
};
use parallax_stereo::Shots;
use tokio_util::sync::CancellationToken;

use crate::first_frame::first_frame;

/// Samples on the longer side of the pictures that are compared.
const LONGEST: u32 = 320;

/// The first of `places`, indices of clean keyframes in ascending order, that begins a shot.
///
/// What cannot be decoded begins none: the conversion will say what is wrong with it.
///
/// # Errors
/// Whatever is not the film's fault.
pub(crate) fn first_of_a_shot(
    tools: &Tools,
    media: &Media,
    packets: &Packets,
    places: &[usize],
    cancel: &CancellationToken,
) -> Result<Option<usize>> {
    match search(tools, media, packets, places, cancel) {
        Err(error) if error.kind() == Kind::Input => {
            tracing::debug!(%error, "shots are not looked for");
            Ok(None)
        }
        found => found,
    }
}

fn search(
    tools: &Tools,
    media: &Media,
    packets: &Packets,
    places: &[usize],
    cancel: &CancellationToken,
) -> Result<Option<usize>> {
    let time = |place: usize| packets.packets[place].pts;
    let (Some(&first), Some(&last)) = (places.first(), places.last()) else { return Ok(None) };
    let from = cut_points(packets).into_iter().take_while(|&cut| cut < first).last();
    let (Some(from), Some(to)) = (time(from.unwrap_or(0)), time(last)) else { return Ok(None) };
    let span = Span { times: from..to + 1, longest: Some(LONGEST) };
    let options = DecodeOptions::default();
    let mut before: Option<Frame> = None;
    for frame in Decoder::open_span(tools, media, packets, span, options, cancel)? {
        let frame = frame?;
        let place = places.iter().copied().find(|&place| time(place) == Some(frame.pts));
        if let (Some(place), Some(before)) = (place, &before) {
            let mut shots = Shots::default();
            shots.begins(before);
            if shots.begins(&frame) {
                return Ok(Some(place));
            }
        }
        before = Some(frame);
    }
    Ok(None)
}

/// Where the shot begins that goes on in what follows a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// Before all that was looked at.
    Earlier,
    /// In the file, at this time.
    At(i64),
    /// With the first frame after the file.
    After,
}

/// Seconds of film that are looked at together, at least: programs take a while to start, and the shot
/// may have begun not long ago.
const LOOK_SECONDS: f64 = 2.0;

/// The first frame of what follows, small; `None` when it cannot be decoded.
#[derive(Debug)]
pub(crate) struct Followed(Option<Frame>);

impl Followed {
    /// By the file at `path`.
    ///
    /// # Errors
    /// Whatever is not the file's fault.
    pub(crate) fn by(tools: &Tools, path: &Path, cancel: &CancellationToken) -> Result<Self> {
        match first_frame(tools, path, LONGEST, cancel) {
            Err(error) if error.kind() == Kind::Input => Ok(Self(None)),
            first => Ok(Self(first?)),
        }
    }

    /// Where the shot begins that goes on here, looking back through the frames of a file from `from` on,
    /// and what the file before that is followed by.
    ///
    /// Only plain cuts count: whoever converts the frames finds them too, at another size. What cannot be
    /// decoded has none.
    ///
    /// # Errors
    /// Whatever is not the file's fault.
    pub(crate) fn beginning(
        self,
        tools: &Tools,
        media: &Media,
        packets: &Packets,
        from: i64,
        cancel: &CancellationToken,
    ) -> Result<(Beginning, Self)> {
        let list = &packets.packets;
        let places = cut_points(packets).into_iter().filter_map(|place| list[place].pts);
        let places: Vec<i64> = places.filter(|&time| time > from).collect();
        let (mut followed, mut end) = (self, i64::MAX);
        let mut last = packets.end().unwrap_or(from);
        for start in places.into_iter().rev().chain([from]) {
            if start > from && media.video.time_base.seconds(last - start) < LOOK_SECONDS {
                continue;
            }
            let found = followed.look(tools, (media, packets), start..end, cancel);
            match found {
                Err(error) if error.kind() == Kind::Input => {
                    return Ok((Beginning::Earlier, Self(None)));
                }
                Err(error) => return Err(error),
                Ok((Beginning::Earlier, first)) => followed = first,
                // Of the next part that was looked at, and no longer of what follows the file.
                Ok((Beginning::After, first)) if end < i64::MAX => {
                    return Ok((Beginning::At(end), first));
                }
                Ok(found) => return Ok(found),
            }
            (end, last) = (start, start);
        }
        Ok((Beginning::Earlier, followed))
    }

    /// The same within the frames at `times`.
    fn look(
        &self,
        tools: &Tools,
        (media, packets): (&Media, &Packets),
        times: std::ops::Range<i64>,
        cancel: &CancellationToken,
    ) -> Result<(Beginning, Self)> {
        let mut shots = Shots::plain();
        let mut beginning = Beginning::Earlier;
        let mut first = None;
        let span = Span { times, longest: Some(LONGEST) };
        let options = DecodeOptions::default();
        for frame in Decoder::open_span(tools, media, packets, span, options, cancel)? {
            let frame = frame?;
            if shots.begins(&frame) {
                beginning = Beginning::At(frame.pts);
            }
            first.get_or_insert(frame);
        }
        if let (Some(after), Some(first)) = (&self.0, &first)
            && (after.format() != first.format() || shots.begins(after))
        {
            beginning = Beginning::After;
        }
        Ok((beginning, Self(first)))
    }
}
