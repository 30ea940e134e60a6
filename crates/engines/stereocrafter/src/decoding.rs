//! Latents to images in pieces: runs of frames, and tiles of pictures too large for one pass.
//!
//! Runs with enough frames around them are what the whole clip would give. Tiles are not: the decoder's
//! norms and its one attention layer see a tile instead of the picture, so tones can differ a little from
//! tile to tile. Overlaps that go over from one to the next keep that from showing as a seam.

use std::ops::Range;

use candle_core::{Result, Tensor, bail};

/// How latents are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoding {
    /// Frames that come out together.
    pub chunk: usize,
    /// Frames on either side that are decoded besides; the reference has none.
    pub context: usize,
    /// Tiles along each side; 1 is the picture as a whole, as in the reference.
    pub tiles: usize,
}

/// Latents along a side that neighbouring tiles share.
pub(crate) const SHARED: usize = 16;

/// `count` spans of one length that cover `side` and share [`SHARED`] or a little more.
pub(crate) fn spans(side: usize, count: usize) -> Vec<Range<usize>> {
    let count = count.clamp(1, (side / (2 * SHARED)).max(1));
    let length = (side + SHARED * (count - 1)).div_ceil(count);
    let start = |i: usize| if count == 1 { 0 } else { i * (side - length) / (count - 1) };
    (0..count).map(|i| start(i)..start(i) + length).collect()
}

/// `decode` on `tiles` by `tiles` tiles of `latents` (F, C, h, w), joined to (F, C', H, W): where tiles
/// meet, one fades into the next.
pub(crate) fn tiled(
    latents: &Tensor,
    tiles: usize,
    mut decode: impl FnMut(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let (_, _, height, width) = latents.dims4()?;
    let (rows, columns) = (spans(height, tiles), spans(width, tiles));
    if rows.len() * columns.len() == 1 {
        return decode(latents);
    }
    let mut lines = Vec::with_capacity(rows.len());
    for row in &rows {
        let line = latents.narrow(2, row.start, row.len())?;
        let parts = columns
            .iter()
            .map(|column| decode(&line.narrow(3, column.start, column.len())?.contiguous()?))
            .collect::<Result<Vec<_>>>()?;
        lines.push(joined(&parts, &columns, 3)?);
    }
    joined(&lines, &rows, 2)
}

/// `parts` that belong to `spans` of latents along `dim`, faded into each other.
fn joined(parts: &[Tensor], spans: &[Range<usize>], dim: usize) -> Result<Tensor> {
    let mut joined: Option<Tensor> = None;
    for (part, span) in parts.iter().zip(spans) {
        let scale = part.dim(dim)? / span.len();
        joined = Some(match joined {
            None => part.clone(),
            Some(before) => {
                let (known, start) = (before.dim(dim)?, span.start * scale);
                let Some(shared) = known.checked_sub(start) else {
                    bail!("tiles with a gap at {start}");
                };
                let old = before.narrow(dim, start, shared)?;
                let new = part.narrow(dim, 0, shared)?;
                let mut shape = [1; 4];
                shape[dim] = shared;
                let ramp = (0..shared).map(|i| (i as f32 + 0.5) / shared as f32).collect();
                let ramp = Tensor::from_vec::<_, f32>(ramp, &shape, part.device())?;
                let mixed = (&old + (new - &old)?.broadcast_mul(&ramp)?)?;
                let rest = part.narrow(dim, shared, part.dim(dim)? - shared)?;
                Tensor::cat(&[&before.narrow(dim, 0, start)?, &mixed, &rest], dim)?
            }
        });
    }
    joined.ok_or_else(|| candle_core::Error::Msg("no tiles".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn spans_cover_a_side(side in 1usize..400, count in 1usize..9) {
            let spans = spans(side, count);
            prop_assert_eq!((spans[0].start, spans[spans.len() - 1].end), (0, side));
            for pair in spans.windows(2) {
                prop_assert_eq!(pair[0].len(), pair[1].len());
                prop_assert!(pair[1].start + SHARED <= pair[0].end);
                prop_assert!(pair[1].start > pair[0].start);
            }
        }
    }

    #[test]
    fn what_looks_at_its_place_only_is_the_same_in_tiles() {
        let values: Vec<f32> = (0..2 * 70 * 100).map(|i| ((i * 37) % 101) as f32).collect();
        let latents = Tensor::from_vec(values, (1, 2, 70, 100), &Device::Cpu).unwrap();
        let double = |t: &Tensor| {
            let (_, _, h, w) = t.dims4()?;
            t.upsample_nearest2d(2 * h, 2 * w)
        };
        let whole = double(&latents).unwrap();
        for tiles in [1, 2, 3] {
            let mut pieces = 0;
            let counted = |t: &Tensor| {
                pieces += 1;
                double(t)
            };
            let out = tiled(&latents, tiles, counted).unwrap();
            assert_eq!(out.dims(), whole.dims());
            let worst = (out - &whole).unwrap().abs().unwrap().flatten_all().unwrap();
            assert!(worst.max(0).unwrap().to_scalar::<f32>().unwrap() < 1e-4);
            assert_eq!(pieces, tiles.min(2) * tiles, "70 rows make two tiles at most");
        }
    }

    #[test]
    fn tiles_that_differ_fade_into_each_other() {
        let latents = Tensor::zeros((1, 1, 1, 64), candle_core::DType::F32, &Device::Cpu).unwrap();
        let mut value = -1f32;
        let out = tiled(&latents, 2, |t| {
            value += 1.0;
            Tensor::full(value, t.shape(), t.device())
        });
        let out = out.unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!((out[0], out[23], out[40], out[63]), (0.0, 0.0, 1.0, 1.0));
        assert!(out.windows(2).all(|pair| (0.0..0.1).contains(&(pair[1] - pair[0]))), "{out:?}");
    }
}
