//! Rotary positions (Su et al. 2021, arXiv:2104.09864): queries and keys of each head are turned by angles that their
//! tokens' places give, halves of a head against each other.

use candle_core::{D, DType, Device, Result, Tensor, bail};

use super::simd;

/// How the tokens of a sequence are turned. Those of a prefix are not.
#[derive(Debug, Clone)]
pub struct Rotary {
    prefix: usize,
    /// Half a head's width.
    half: usize,
    /// By token after the prefix: `half` cosines, then as many sines.
    turns: Vec<f32>,
    /// Cosines and sines of all tokens (S, 1, half), for what is not f32 on the processor.
    plain: (Tensor, Tensor),
}

impl Rotary {
    /// Of angles (T, half) in radians for the tokens after a prefix of so many, for heads of twice `half`. They
    /// are as exact as f32; what turns activations of `dtype` is rounded to it.
    ///
    /// # Errors
    /// When the angles are not whole rows.
    pub fn new(
        prefix: usize,
        half: usize,
        angles: &[f32],
        (device, dtype): (&Device, DType),
    ) -> Result<Self> {
        if half == 0 || angles.is_empty() || !angles.len().is_multiple_of(half) {
            bail!("{} angles for heads of twice {half}", angles.len());
        }
        let tokens = prefix + angles.len() / half;
        let table = |still: f32, of: fn(f32) -> f32| -> Result<Tensor> {
            let values =
                std::iter::repeat_n(still, prefix * half).chain(angles.iter().map(|&a| of(a)));
            Tensor::from_vec(values.collect(), (tokens, 1, half), device)?.to_dtype(dtype)
        };
        let plain = (table(1.0, f32::cos)?, table(0.0, f32::sin)?);
        let turn = |row: &[f32]| -> Vec<f32> {
            row.iter().map(|a| a.cos()).chain(row.iter().map(|a| a.sin())).collect()
        };
        let turns = angles.chunks_exact(half).flat_map(turn).collect();
        Ok(Self { prefix, half, turns, plain })
    }

    /// Tokens of a sequence.
    pub fn tokens(&self) -> usize {
        self.prefix + self.turns.len() / (2 * self.half)
    }

    /// Whether sequences of so many tokens and heads of this width are those that it turns.
    pub(super) fn check(&self, tokens: usize, head: usize) -> Result<()> {
        if self.tokens() != tokens || 2 * self.half != head {
            let (mine, width) = (self.tokens(), 2 * self.half);
            bail!(
                "positions of {mine} tokens, heads of {width}, for {tokens} tokens, heads of {head}"
            );
        }
        Ok(())
    }

    /// Turns the queries and keys of consecutive tokens in place: rows of queries, keys and values of `width`
    /// each. The first is token `first` of a batch of sequences.
    pub(super) fn turn(&self, qkv: &mut [f32], first: usize, width: usize) {
        let (tokens, half) = (self.tokens(), self.half);
        for (row, token) in qkv.chunks_exact_mut(3 * width).zip(first..) {
            let Some(place) = (token % tokens).checked_sub(self.prefix) else { continue };
            let (cosines, sines) = self.turns[2 * half * place..][..2 * half].split_at(half);
            for head in row[..2 * width].chunks_exact_mut(2 * half) {
                let (a, b) = head.split_at_mut(half);
                simd::over(
                    #[inline(always)]
                    || {
                        for (((a, b), cosine), sine) in a.iter_mut().zip(b).zip(cosines).zip(sines)
                        {
                            (*a, *b) = (*a * cosine - *b * sine, *b * cosine + *a * sine);
                        }
                    },
                );
            }
        }
    }

    /// [`Rotary::turn`] of whole sequences (N, S, 3 C), of any type on any device.
    pub(super) fn turned(&self, qkv: &Tensor) -> Result<Tensor> {
        let (n, s, all) = qkv.dims3()?;
        let width = all / 3;
        let heads = qkv.narrow(2, 0, 2 * width)?.contiguous()?;
        let heads = heads.reshape((n, s, width / self.half, 2 * self.half))?;
        let a = heads.narrow(D::Minus1, 0, self.half)?.contiguous()?;
        let b = heads.narrow(D::Minus1, self.half, self.half)?.contiguous()?;
        let (cosines, sines) = &self.plain;
        let by = |x: &Tensor, table: &Tensor| x.broadcast_mul(table);
        let first = (by(&a, cosines)? - by(&b, sines)?)?;
        let second = (by(&b, cosines)? + by(&a, sines)?)?;
        let turned = Tensor::cat(&[&first, &second], D::Minus1)?.reshape((n, s, 2 * width))?;
        Tensor::cat(&[&turned, &qkv.narrow(2, 2 * width, width)?], 2)
    }
}
