//! Depth of a clip or a shot, window by window, as its frames arrive.

use candle_core::{Result, Tensor};

use crate::depth::{DepthStage, Stitch};
use crate::networks::{Check, Undecoded};
use crate::noise::Noise;

/// How far the depth of one shot is. Holds one window and what decoding needs besides. Noise is that of
/// the shot's frames, counted from its first, so a shot gets the same wherever it is in a clip.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    stitch: Stitch,
    waiting: Undecoded,
    /// Tokens and image latents of the frames from the next window's first on.
    encoded: Option<(Tensor, Tensor)>,
}

/// The next thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// A window of so many frames, the last one or not.
    Window { length: usize, last: bool },
    /// Nothing but to take what no window came to change.
    Rest,
}

impl Flow {
    /// What can be done with `total` frames of the shot, `ended` or not, in windows of `window`.
    pub(crate) fn next(&self, total: usize, ended: bool, window: usize) -> Option<Next> {
        let start = self.stitch.start();
        let shared = self.stitch.shared();
        // A window made smaller still has to bring something new.
        let window = window.max(shared + 1);
        let there = total - start;
        if there == 0 {
            return None;
        }
        if there >= window && (there > window || !ended) {
            return Some(Next::Window { length: window, last: false });
        }
        match (ended, there > shared) {
            (false, _) => None,
            (true, true) => Some(Next::Window { length: there, last: true }),
            (true, false) => Some(Next::Rest),
        }
    }

    /// First frame of the next window.
    pub(crate) fn start(&self) -> usize {
        self.stitch.start()
    }

    /// Frames of the shot that are encoded.
    fn encoded(&self) -> usize {
        let there = self.encoded.as_ref().map_or(0, |(tokens, _)| tokens.dims()[0]);
        self.stitch.start() + there
    }

    /// Encodes the shot's frames before `end`, a few at a time; `frame` gives one as (1, 3, h, w) in
    /// [-1, 1]. After an error it goes on where it was.
    pub(crate) fn encode(
        &mut self,
        stage: &DepthStage,
        end: usize,
        frame: &mut dyn FnMut(usize) -> Result<Tensor>,
        noise: &mut dyn Noise,
        check: &mut Check,
    ) -> Result<()> {
        while self.encoded() < end {
            let start = self.encoded();
            let run = start..end.min(start + stage.options.codec_chunk.max(1));
            let frames = Tensor::cat(&run.map(&mut *frame).collect::<Result<Vec<_>>>()?, 0)?;
            let tokens = stage.embed(&frames, check)?;
            let images = stage.encode(&frames, start, noise, check)?;
            self.encoded = Some(match &self.encoded {
                None => (tokens, images),
                Some((t, i)) => (Tensor::cat(&[t, &tokens], 0)?, Tensor::cat(&[i, &images], 0)?),
            });
        }
        Ok(())
    }

    /// Does `next`. After an error it can be done again, or a shorter window.
    pub(crate) fn step(
        &mut self,
        stage: &DepthStage,
        next: Next,
        noise: &mut dyn Noise,
        check: &mut Check,
    ) -> Result<()> {
        let latents = match (next, &self.encoded) {
            (Next::Window { length, last }, Some((tokens, images))) => {
                let cut = |t: &Tensor| t.narrow(0, 0, length)?.contiguous();
                let (cut_tokens, cut_images) = (cut(tokens)?, cut(images)?);
                let start = self.stitch.start();
                let latents = stage.advance(
                    &mut self.stitch,
                    (&cut_tokens, &cut_images),
                    last,
                    noise,
                    check,
                )?;
                let done = self.stitch.start() - start;
                let rest = tokens.dim(0)? - done;
                let keep = |t: &Tensor| t.narrow(0, done, rest)?.copy();
                self.encoded = if rest == 0 { None } else { Some((keep(tokens)?, keep(images)?)) };
                Some(latents)
            }
            _ => {
                self.encoded = None;
                self.stitch.finish()
            }
        };
        match latents {
            Some(latents) => self.waiting.push(&latents),
            None => Ok(()),
        }
    }

    /// The next depth (F, 1, h, w) in [0, 1] that can be decoded, if any.
    pub(crate) fn decode(
        &mut self,
        stage: &DepthStage,
        ended: bool,
        check: &mut Check,
    ) -> Result<Option<Tensor>> {
        stage.decode_next(&mut self.waiting, ended, check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_waits_for_its_frames_or_the_end() {
        let flow = Flow::default();
        assert_eq!(flow.next(0, true, 4), None);
        assert_eq!(flow.next(3, false, 4), None);
        assert_eq!(flow.next(3, true, 4), Some(Next::Window { length: 3, last: true }));
        assert_eq!(flow.next(4, false, 4), Some(Next::Window { length: 4, last: false }));
        assert_eq!(flow.next(4, true, 4), Some(Next::Window { length: 4, last: true }));
        assert_eq!(flow.next(5, true, 4), Some(Next::Window { length: 4, last: false }));
    }
}
