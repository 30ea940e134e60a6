//! The part of a film that its pictures were cut to, which everything else follows.

use crate::media::{Chapter, Media};

/// What is typed in milliseconds means the frame, or the chapter, at it.
pub(crate) const TOLERANCE_US: i64 = 1000;

/// The part of a film that its pictures were cut to, in microseconds on the file's clock. What is
/// `None` was not cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Window {
    /// When the first picture is shown.
    pub(crate) start_us: Option<i64>,
    /// When the first one after the last would be.
    pub(crate) end_us: Option<i64>,
}

/// What an excerpt makes of packets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Excerpted {
    pub(crate) window: Window,
    /// Where the last picture ends, in ticks.
    pub(crate) end: i64,
    /// Where to begin reading, in microseconds; `None` for the beginning.
    pub(crate) seek_us: Option<i64>,
}

impl Window {
    /// Whether nothing was cut.
    pub(crate) fn is_whole(self) -> bool {
        self == Self::default()
    }

    /// Where the result's clock begins, in microseconds on the clock of the file.
    pub(crate) fn origin_us(self, media: &Media) -> i64 {
        self.start_us.unwrap_or(media.start_us)
    }

    /// How long the result is, in microseconds; `None` to the end of everything.
    pub(crate) fn length_us(self, media: &Media) -> Option<i64> {
        self.end_us.map(|end| end - self.origin_us(media))
    }

    /// The chapters that it holds something of, on the result's clock.
    pub(crate) fn chapters(self, media: &Media) -> Vec<Chapter> {
        if self.is_whole() {
            return media.chapters.clone();
        }
        let origin = self.origin_us(media);
        let mut cut: Vec<Chapter> = Vec::new();
        for chapter in &media.chapters {
            if self.end_us.is_some_and(|end| chapter.start_us >= end - TOLERANCE_US) {
                continue;
            }
            let start_us = (chapter.start_us - origin).max(0);
            if start_us <= TOLERANCE_US && cut.last().is_some_and(|last| last.start_us == 0) {
                // What was before it ends where the part begins.
                cut.pop();
            }
            let start_us = if start_us <= TOLERANCE_US { 0 } else { start_us };
            cut.push(Chapter { start_us, title: chapter.title.clone() });
        }
        cut
    }
}
