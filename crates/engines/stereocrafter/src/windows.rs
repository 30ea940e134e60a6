//! Which frames of a clip the networks see together.
//!
//! DepthCrafter `depthcrafter/depth_crafter_ppl.py` (windows), StereoCrafter
//! `inpainting_inference.py` (chunks).

use std::ops::Range;

use candle_core::{Result, bail};

/// Windows of depth estimation: `window` frames each, `overlap` of them shared with the one before; the
/// last may be shorter, never as short as the overlap. A clip that fits is one window of its own length.
///
/// Frame `f` takes noise `f % window` (`window` cut to the clip's length): the reference rolls its noise
/// on by a stride per window, so shared frames keep theirs.
///
/// # Errors
/// When windows would not advance.
pub fn depth_windows(frames: usize, window: usize, overlap: usize) -> Result<Vec<Range<usize>>> {
    if frames == 0 || overlap >= window {
        bail!("{frames} frames in windows of {window} that share {overlap}");
    }
    if frames <= window {
        return Ok(std::iter::once(0..frames).collect());
    }
    let starts = (0..frames - overlap).step_by(window - overlap);
    Ok(starts.map(|start| start..frames.min(start + window)).collect())
}

/// Frames that are inpainted together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The frames that the network sees.
    pub frames: Range<usize>,
    /// How many of them, from the first, are results of the chunks before; they are not results again.
    pub known: usize,
}

impl Chunk {
    /// The frames that this chunk is the result of.
    pub fn results(&self) -> Range<usize> {
        self.frames.start + self.known..self.frames.end
    }
}

/// Where a chunk starts that would pass the end of the clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// `length - overlap` frames before the end, as in the reference: the last chunk is a short one.
    Stride,
    /// `length` frames before the end.
    Length,
}

/// Which chunk comes next, while the end of the clip is not known yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Chunks {
    /// Where the last chunk ended.
    end: usize,
}

impl Chunks {
    /// The next chunk of `length` frames that share `overlap`, if the frames before `available` suffice
    /// for it; nothing comes after those once the clip has `ended`.
    ///
    /// Where a chunk would pass the end, it begins earlier as `tail` says, however many of its frames are
    /// known already. Clips of `overlap` frames and fewer have no chunk in the reference; here they are
    /// padded by repeating their last frame, and the one chunk ends past the clip, at `overlap + 1`.
    pub fn next(
        self,
        available: usize,
        ended: bool,
        (length, overlap): (usize, usize),
        tail: Tail,
    ) -> Option<Chunk> {
        if self.end == 0 {
            let whole = available >= length;
            return match (whole, ended && available > 0) {
                (true, _) => Some(Chunk { frames: 0..length, known: 0 }),
                (_, true) => {
                    Some(Chunk { frames: 0..available.max(overlap + 1).min(length), known: 0 })
                }
                _ => None,
            };
        }
        let start = self.end - overlap.min(self.end);
        if start + length <= available {
            return Some(Chunk { frames: start..start + length, known: self.end - start });
        }
        if !ended || available <= self.end {
            return None;
        }
        let first = match tail {
            Tail::Stride => available.saturating_sub(length - overlap),
            Tail::Length => available.saturating_sub(length),
        };
        Some(Chunk { frames: first..available, known: self.end - first })
    }

    /// Goes on after `chunk`.
    pub fn done(&mut self, chunk: &Chunk) {
        self.end = chunk.frames.end;
    }
}

/// The reference's chunks of a whole clip.
///
/// # Errors
/// When chunks would not advance.
pub fn reference_chunks(frames: usize, length: usize, overlap: usize) -> Result<Vec<Chunk>> {
    if frames == 0 || overlap >= length {
        bail!("{frames} frames in chunks of {length} that share {overlap}");
    }
    let mut state = Chunks::default();
    let mut chunks = Vec::new();
    while let Some(chunk) = state.next(frames, true, (length, overlap), Tail::Stride) {
        state.done(&chunk);
        chunks.push(chunk);
    }
    Ok(chunks)
}

/// `frames` in runs of `length`, the last one shorter where they do not divide.
pub(crate) fn runs(frames: usize, length: usize) -> impl Iterator<Item = Range<usize>> {
    let length = length.max(1);
    (0..frames).step_by(length).map(move |start| start..frames.min(start + length))
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn depth_windows_of_the_reference() {
        assert_eq!(depth_windows(71, 70, 25).unwrap(), [0..70, 45..71]);
        assert_eq!(depth_windows(150, 70, 25).unwrap(), [0..70, 45..115, 90..150]);
        assert_eq!(depth_windows(70, 70, 25).unwrap(), [0..70]);
        assert_eq!(depth_windows(1, 70, 25).unwrap(), [0..1]);
        assert_eq!(depth_windows(7, 4, 2).unwrap(), [0..4, 2..6, 4..7]);
        assert!(depth_windows(9, 4, 4).is_err());
        assert!(depth_windows(0, 4, 2).is_err());
    }

    #[test]
    fn rolling_noise_is_an_index_modulo_the_window() {
        let (window, overlap) = (7, 3);
        let mut rolled: Vec<usize> = (0..window).collect();
        for frames in depth_windows(40, window, overlap).unwrap() {
            let want = &rolled[..frames.len()];
            assert_eq!(frames.map(|f| f % window).collect::<Vec<_>>(), want);
            rolled = [&rolled[window - overlap..], &rolled[..window - overlap]].concat();
        }
    }

    #[test]
    fn chunks_of_the_reference() {
        let table = |frames| -> Vec<_> {
            let chunks = reference_chunks(frames, 23, 3).unwrap();
            chunks.into_iter().map(|c| (c.frames.start, c.frames.end, c.results().len())).collect()
        };
        assert_eq!(table(24), [(0, 23, 23), (4, 24, 1)]);
        assert_eq!(table(44), [(0, 23, 23), (20, 43, 20), (24, 44, 1)]);
        assert_eq!(table(60), [(0, 23, 23), (20, 43, 20), (40, 60, 17)]);
        let hundred = table(100);
        assert_eq!((hundred.len(), hundred[4]), (5, (80, 100, 17)));
        for frames in 4..=23 {
            assert_eq!(table(frames), [(0, frames, frames)]);
        }
        for frames in 1..=3 {
            assert_eq!(table(frames), [(0, 4, 4)], "padded");
        }
        assert_eq!(table(62)[2], (42, 62, 19));
    }

    #[test]
    fn runs_end_short() {
        assert_eq!(runs(5, 2).collect::<Vec<_>>(), [0..2, 2..4, 4..5]);
        assert_eq!(runs(0, 2).count(), 0);
    }

    proptest! {
        #[test]
        fn every_frame_is_the_result_of_one_window(
            frames in 1usize..400, window in 1usize..90, overlap in 0usize..89,
        ) {
            prop_assume!(overlap < window);
            let mut next = 0;
            for (i, w) in depth_windows(frames, window, overlap).unwrap().into_iter().enumerate() {
                let shared = if i == 0 { 0 } else { overlap };
                prop_assert_eq!(w.start + shared, next);
                prop_assert!(w.len() > shared && w.len() <= window);
                next = w.end;
            }
            prop_assert_eq!(next, frames);
        }

        #[test]
        fn chunks_do_not_depend_on_when_frames_arrive(
            frames in 1usize..120, length in 1usize..30, overlap in 0usize..29,
            steps in prop::collection::vec(1usize..40, 120),
        ) {
            prop_assume!(overlap < length);
            for tail in [Tail::Stride, Tail::Length] {
                let (mut state, mut available, mut told) = (Chunks::default(), 0, Vec::new());
                for step in steps.iter().copied() {
                    available = frames.min(available + step);
                    let ended = available == frames;
                    while let Some(c) = state.next(available, ended, (length, overlap), tail) {
                        prop_assert!(c.known < c.frames.len() && c.frames.len() <= length);
                        // The reference's last chunk is short, and may share less.
                        let full = tail == Tail::Length && !told.is_empty();
                        prop_assert!(!full || c.known >= overlap);
                        state.done(&c);
                        told.push(c);
                    }
                }
                let results: usize = told.iter().map(|c| c.results().len()).sum();
                prop_assert_eq!(results, frames.max(overlap + 1));
                if tail == Tail::Stride {
                    prop_assert_eq!(told, reference_chunks(frames, length, overlap).unwrap());
                }
            }
        }

        #[test]
        fn every_frame_is_the_result_of_one_chunk(
            frames in 1usize..400, length in 1usize..40, overlap in 0usize..39,
        ) {
            prop_assume!(overlap < length);
            let mut next = 0;
            for c in reference_chunks(frames, length, overlap).unwrap() {
                prop_assert_eq!(c.results().start, next);
                prop_assert!(c.known < c.frames.len() && c.frames.len() <= length);
                next = c.results().end;
            }
            prop_assert_eq!(next, frames.max(overlap + 1));
        }
    }
}
