//! Segments by decoding and lossless encoding, for sources whose packets cannot be copied.

use std::path::Path;

use parallax_frame::{Frame, Range};
use tokio_util::sync::CancellationToken;

use super::segment::{SegmentFile, segment_path};
use crate::decode::{DecodeOptions, Expected};
use crate::encode::{Codec, EncodeSettings, Encoder, Timing};
use crate::error::{Error, Result};
use crate::excerpt::shown_rate;
use crate::hdr::Hdr;
use crate::media::Media;
use crate::packets::Packets;
use crate::plan::Plan;
use crate::programs::Tools;
use crate::shown::Shown;

/// Cuts at the plan's frame counts, which any encoder can start at.
pub(super) fn recode(
    tools: &Tools,
    media: &Media,
    packets: &Packets,
    plan: &Plan,
    out_dir: &Path,
    cancel: &CancellationToken,
) -> Result<Vec<SegmentFile>> {
    let options = DecodeOptions::default();
    let shown = Shown::open(tools, media, packets, expected(media, packets), options, cancel)?;
    let timing =
        Timing { time_base: shown.decoder().time_base(), rate: shown_rate(packets, media) };
    let format = shown.decoder().format().clone();
    let settings = EncodeSettings {
        codec: codec(media),
        lossless: true,
        preset: "ultrafast".to_owned(),
        sample_aspect: media.video.sample_aspect,
        hdr: media.video.hdr,
        ..EncodeSettings::default()
    };
    if settings.codec == Codec::Ffv1 && format.colour.range == Some(Range::Full) {
        // QuickTime has no place for the range beside FFV1, and limited range would be assumed.
        let what = format!(
            "{}x{} in full range has to be encoded again before it is cut, which only even sizes \
             survive; allowed are even sizes, or limited range",
            format.width, format.height
        );
        return Err(Error::input(&media.path, what));
    }
    let mut lengths = plan.segments.iter().map(|planned| planned.frames);
    let mut segments: Vec<SegmentFile> = Vec::new();
    let mut open: Option<(Encoder, u64)> = None;
    for frame in shown {
        let mut frame: Frame = frame?;
        let (mut encoder, length) = match open.take() {
            Some(open) => open,
            None => {
                let path = segment_path(out_dir, segments.len());
                let encoder = Encoder::create(tools, &path, &format, timing, &settings, cancel)?;
                segments.push(SegmentFile { path, frames: 0, start: frame.pts });
                // Field-coded streams have more packets than frames, never fewer.
                (encoder, lengths.next().unwrap_or(u64::MAX))
            }
        };
        let Some(segment) = segments.last_mut() else { continue };
        frame.pts -= segment.start;
        encoder.write(&frame)?;
        segment.frames += 1;
        if segment.frames == length {
            encoder.finish()?;
        } else {
            open = Some((encoder, length));
        }
    }
    if let Some((encoder, _)) = open {
        encoder.finish()?;
    }
    if segments.is_empty() {
        return Err(Error::input(&media.path, "no frames"));
    }
    Ok(segments)
}

/// An encoder that keeps every sample of `media`.
fn codec(media: &Media) -> Codec {
    let format = &media.video.format;
    let (sx, sy) = format.pixels.chroma().shifts();
    let whole = format.width.is_multiple_of(1 << sx) && format.height.is_multiple_of(1 << sy);
    if !whole {
        // H.264 and H.265 hold no half chroma samples.
        Codec::Ffv1
    } else if format.pixels.bits() > 10 || media.video.hdr != Hdr::default() {
        // x264 has no 12 bits and no HDR metadata that decoders read.
        Codec::X265
    } else {
        Codec::X264
    }
}

/// The frames to insist on. Without presentation times a container may store packets
/// that show nothing (packed B-frames in AVI), so there the decoder has the last word.
fn expected(media: &Media, packets: &Packets) -> Expected {
    match Expected::from(packets) {
        times @ Expected::Times(_) if media.video.field_order.is_none() => times,
        _ => Expected::Unknown,
    }
}
