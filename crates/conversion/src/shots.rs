//! Which of the places where a film can be cut begin a shot.
//!
//! Keyframes are known without decoding, shots are not. Only the frames around the places in
//! question are looked at, small, so that planning stays much cheaper than converting.

use parallax_frame::Frame;
use parallax_media::{
    DecodeOptions, Decoder, Kind, Media, Packets, Result, Span, Tools, cut_points,
};
use parallax_stereo::Shots;
use tokio_util::sync::CancellationToken;

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
