//! A part of a film, found by the times at which the scan shows its frames.

use tokio_util::sync::CancellationToken;

use super::options::DecodeOptions;
use super::part::{Part, Select, Span};
use super::{Decoder, Expected};
use crate::error::{Error, Result};
use crate::media::Media;
use crate::packets::Packets;
use crate::plan::cut_points;
use crate::programs::Tools;

impl Decoder {
    /// Starts decoding the frames of `span` only, from the last place before it that decoding may
    /// start at; `packets` are the file's. All of its frames come, or an error; damage is not added
    /// to [`Tools::damage`], and none that leaves their number right is refused.
    ///
    /// Where times are not those of the file, its frames are counted from its beginning, which takes
    /// as long as decoding all of them.
    ///
    /// # Errors
    /// As [`Decoder::open_with`]; `Input` too when the container stores no presentation times or
    /// nothing lies in the span.
    pub fn open_span(
        tools: &Tools,
        media: &Media,
        packets: &Packets,
        span: Span,
        options: DecodeOptions,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        let Some(times) = packets.frame_times() else {
            let what = "the container stores no presentation times to read a part by";
            return Err(Error::input(&media.path, what));
        };
        let first = times.partition_point(|&time| time < span.times.start);
        let end = times.partition_point(|&time| time < span.times.end);
        let within = times.get(first..end).unwrap_or_default();
        if within.is_empty() {
            let base = media.video.time_base;
            let what = format!(
                "no frame from {:.3} s to {:.3} s",
                base.seconds(span.times.start),
                base.seconds(span.times.end)
            );
            return Err(Error::input(&media.path, what));
        }
        // Pictures that are not shown may lie between those that are.
        let among = packets.excerpted.is_some();
        let mut part = Part { longest: span.longest, span: true, among, ..Part::default() };
        let expected = if packets.are_moved() {
            part.select = Select::Numbers(first..end);
            part.names = Some(within.into());
            (0..).take(within.len()).collect()
        } else {
            let starts = cut_points(packets).into_iter().filter_map(|cut| packets.packets[cut].pts);
            let from = starts.skip(1).take_while(|pts| *pts <= span.times.start).last();
            part.seek_us = from.map(|pts| media.video.time_base.rescale(pts, 1_000_000));
            part.select = Select::Times(span.times);
            within.into()
        };
        Self::start(tools, media, Expected::Times(expected), options, part, cancel)
    }
}
