//! What of a file is read.

use std::ops::Range;
use std::sync::Arc;

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
