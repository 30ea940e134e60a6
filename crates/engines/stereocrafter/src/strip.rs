//! Frames on their way through inpainting: only as many are kept as the next chunk can need.

use std::collections::VecDeque;
use std::ops::Range;

use candle_core::{DType, Result, Tensor, bail};

use crate::colour::Fit;
use crate::windows::Chunks;

/// The warped frames of a clip or a shot, in order, and what the chunks before leave to the next.
#[derive(Debug, Clone, Default)]
pub struct Strip {
    /// The clip's frame that this begins with.
    pub(crate) first: usize,
    /// (4, H, W) each: red, green, blue and mask.
    inputs: VecDeque<Tensor>,
    /// Frames that were here and are gone.
    gone: usize,
    pub(crate) chunks: Chunks,
    /// Results (F, 3, h, w) of the last chunk, in 8 bits.
    pub(crate) before: Option<Tensor>,
    /// Results that the next chunk will change.
    pub(crate) held: Option<Tensor>,
    pub(crate) colours: Option<Fit>,
}

impl Strip {
    /// An empty strip that begins with frame `first` of the clip.
    pub fn new(first: usize) -> Self {
        Self { first, ..Self::default() }
    }

    /// Adds warped frames (N, 3, H, W) and their mask (N, 1, H, W), in [0, 1] or in 8 bits.
    pub fn push(&mut self, warped: &Tensor, mask: &Tensor) -> Result<()> {
        if warped.dim(0)? != mask.dim(0)? {
            bail!("mask {:?} for frames {:?}", mask.dims(), warped.dims());
        }
        let both = Tensor::cat(&[warped, mask], 1)?;
        for frame in 0..both.dim(0)? {
            self.inputs.push_back(both.get(frame)?.copy()?);
        }
        Ok(())
    }

    /// Frames that were added so far.
    pub fn total(&self) -> usize {
        self.gone + self.inputs.len()
    }

    /// `range` of the frames (F, 4, H, W), the last one repeated where there are no more.
    pub(crate) fn frames(&self, range: &Range<usize>) -> Result<Tensor> {
        let last = self.inputs.len().checked_sub(1);
        let (Some(last), Some(start)) = (last, range.start.checked_sub(self.gone)) else {
            bail!("frames {range:?} of which {} are gone", self.gone);
        };
        let frames = start..range.end - self.gone;
        let parts: Vec<&Tensor> = frames.map(|i| &self.inputs[i.min(last)]).collect();
        Tensor::stack(&parts, 0)
    }

    /// Drops what no chunk after one that ended with `end` can need: the next reaches back furthest
    /// when it ends with the next frame.
    pub(crate) fn forget(&mut self, end: usize) {
        let reach = self.before.as_ref().map_or(0, |before| before.dims()[0]);
        while self.gone + reach < end && self.inputs.pop_front().is_some() {
            self.gone += 1;
        }
    }
}

/// Pictures in [0, 1], whatever they are kept in.
pub(crate) fn unit(pictures: &Tensor) -> Result<Tensor> {
    if pictures.dtype() == DType::U8 {
        return pictures.to_dtype(DType::F32)? / 255.0;
    }
    Ok(pictures.clone())
}

/// `part` with its first `known` frames replaced by the last of `before`.
pub(crate) fn with_known(part: &Tensor, before: &Tensor, known: usize) -> Result<Tensor> {
    let old = before.narrow(0, before.dim(0)? - known, known)?;
    let rest = part.narrow(0, known, part.dim(0)? - known)?;
    Tensor::cat(&[&old, &rest], 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn filled(frames: Range<usize>) -> Strip {
        let mut strip = Strip::new(0);
        for frame in frames {
            let warped = Tensor::full(frame as u8, (1, 3, 1, 2), &Device::Cpu).unwrap();
            let mask = Tensor::zeros((1, 1, 1, 2), DType::U8, &Device::Cpu).unwrap();
            strip.push(&warped, &mask).unwrap();
        }
        strip
    }

    fn told(strip: &Strip, range: Range<usize>) -> Vec<u8> {
        let frames = strip.frames(&range).unwrap();
        let first = frames.narrow(1, 0, 1).unwrap().narrow(3, 0, 1).unwrap();
        first.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn short_clips_repeat_their_last_frame() {
        let strip = filled(0..3);
        assert_eq!(told(&strip, 0..5), [0, 1, 2, 2, 2]);
        assert_eq!(told(&strip, 1..3), [1, 2]);
    }

    #[test]
    fn a_chunk_is_all_that_is_kept() {
        let mut strip = filled(0..9);
        strip.before = Some(Tensor::zeros((4, 3, 1, 2), DType::U8, &Device::Cpu).unwrap());
        strip.forget(7);
        assert_eq!((strip.total(), told(&strip, 3..9)), (9, vec![3, 4, 5, 6, 7, 8]));
        assert!(strip.frames(&(2..9)).is_err());
    }
}
