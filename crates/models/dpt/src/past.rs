//! What a network that looks at a film frame by frame keeps of the frames before.
//!
//! Video Depth Anything's scheme: a frame is the last of 32. Of those before it, the first is the shot's first
//! frame and the second lies about 41 frames back; the others are the last 29. Where there are too few,
//! the shot's first frame stands for those that are missing.

use candle_core::Tensor;

/// Frames that one attends to, itself not counted.
const SEEN: usize = 31;
/// The first so many of them are the oldest that are kept.
const OLDEST: usize = 2;
/// Frames that are kept: those that nobody attends to any more wait for being second.
const KEPT: usize = 42;

/// What is kept of frames, oldest first.
#[derive(Debug)]
pub(crate) struct Recent<T>(Vec<T>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Clone> Recent<T> {
    /// Those that the next frame attends to: none, of a shot's first frame.
    pub(crate) fn seen(&self) -> impl Iterator<Item = &T> {
        let last = self.0.len().saturating_sub(SEEN - OLDEST);
        self.0.iter().take(OLDEST).chain(self.0.iter().skip(last.max(OLDEST)))
    }

    /// Keeps another frame.
    pub(crate) fn keep(&mut self, frame: T) {
        if self.0.is_empty() {
            self.0 = vec![frame; SEEN + 1];
            return;
        }
        self.0.push(frame);
        if self.0.len() > KEPT {
            self.0.remove(1);
        }
    }
}

/// Keys and values of one attention: those of frames, and what places among frames add to them.
#[derive(Debug)]
pub(crate) struct Attended {
    /// (1, S, C) each.
    pub(crate) frames: Recent<[Tensor; 2]>,
    /// (F, C) each.
    pub(crate) positions: [Tensor; 2],
}

/// What is kept of the frames of a shot, by module and attention.
#[derive(Debug)]
pub(crate) struct Past(pub(crate) [Vec<Attended>; 4]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_those_of_the_published_program() {
        let mut recent = Recent::default();
        let mut seen = Vec::new();
        for frame in 0..80 {
            seen.push(recent.seen().copied().collect::<Vec<i32>>());
            recent.keep(frame);
        }
        let and = |oldest: [i32; 2], last: std::ops::Range<i32>| {
            oldest.into_iter().chain(last).collect::<Vec<_>>()
        };
        assert!(seen[0].is_empty());
        assert_eq!(seen[1], [0; 31]);
        assert_eq!(seen[5], [&[0; 27][..], &[1, 2, 3, 4]].concat());
        // As its cache was seen to be.
        assert_eq!(seen[30], and([0, 0], 1..30));
        assert_eq!(seen[41], and([0, 0], 12..41));
        assert_eq!(seen[42], and([0, 1], 13..42));
        assert_eq!(seen[49], and([0, 8], 20..49));
        assert_eq!(seen[79], and([0, 38], 50..79));
    }
}
