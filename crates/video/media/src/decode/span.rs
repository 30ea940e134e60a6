//! A part of a film, found by the times at which the scan shows its frames.

use std::ops::Range;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{DecodeOptions, Decoder, Expected};
use crate::error::{Error, Result};
use crate::media::Media;
use crate::packets::Packets;
use crate::plan::cut_points;
use crate::programs::Tools;

/// A part of a film.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Span {
    /// Presentation times, in ticks of the stream.
    pub times: Range<i64>,
    /// Pictures are shrunk, to even sizes, until neither side is longer; `None` for their own size.
    pub longest: Option<u32>,
}

/// What of a file is read.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// Where to begin reading, in microseconds; `None` for the beginning.
    pub(super) seek_us: Option<i64>,
    pub(super) select: Select,
    /// As [`Span::longest`].
    pub(super) longest: Option<u32>,
    /// Damage is for whoever reads the whole film.
    pub(super) span: bool,
    /// Grey of more than 12 bits keeps them all.
    pub(super) deep: bool,
    /// The file has other pictures beside the expected ones.
    pub(super) among: bool,
    /// Times to hand frames out at, by their numbers.
    pub(super) names: Option<Arc<[i64]>>,
}

/// Which frames of a stream.
#[derive(Debug, Default)]
pub(super) enum Select {
    #[default]
    All,
    /// All, with their numbers as times: those of the file do not ascend.
    Numbered,
    /// Those at times that the file stores.
    Times(Range<i64>),
    /// Those with these numbers, which count as times from the first of them on.
    Numbers(Range<usize>),
}

impl Select {
    /// The filter, with a comma behind it, or nothing.
    pub(super) fn filter(&self) -> String {
        match self {
            Select::All => String::new(),
            Select::Numbered => "setpts=N,".to_owned(),
            Select::Times(times) => {
                format!("trim=start_pts={}:end_pts={},", times.start, times.end)
            }
            Select::Numbers(numbers) => {
                let (start, end) = (numbers.start, numbers.end);
                format!("trim=start_frame={start}:end_frame={end},setpts=N,")
            }
        }
    }
}

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
        let mut part = Part { longest: span.longest, span: true, ..Part::default() };
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
