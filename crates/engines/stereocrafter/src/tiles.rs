//! Pictures too large for one pass: overlapping tiles of latents, blended where they meet.
//!
//! StereoCrafter `inpainting_inference.py`.

use std::ops::Range;

use candle_core::{Result, Tensor, bail};

use crate::size::Size;

/// How a picture is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiling {
    /// Tiles along each side. Defaults to 1.
    pub count: usize,
    /// Pixels that neighbours share. Defaults to 128.
    pub overlap_px: usize,
}

impl Default for Tiling {
    fn default() -> Self {
        Self { count: 1, overlap_px: 128 }
    }
}

impl Tiling {
    /// Rows and columns of every tile, in pixels of a picture of `size`, top to bottom and, within, left
    /// to right.
    ///
    /// # Errors
    /// When a side does not divide into equal tiles of whole latents of `downsampling` pixels.
    pub fn grid(&self, size: Size, downsampling: usize) -> Result<Grid> {
        Ok(Grid {
            rows: self.spans(size.height, downsampling)?,
            columns: self.spans(size.width, downsampling)?,
            overlap: if self.count > 1 { self.overlap_px / downsampling } else { 0 },
            downsampling,
        })
    }

    /// The least size, not under `size`, whose sides divide into tiles with sides that are multiples of
    /// `step`.
    pub fn padded(&self, size: Size, step: usize) -> Size {
        let step = step.max(1);
        let side = |side: usize| {
            let shared = self.overlap_px * self.count.saturating_sub(1);
            let count = self.count.max(1);
            let tile = (side + shared).div_ceil(count).max(self.overlap_px + 1);
            let tile = if count > 1 { tile } else { side };
            tile.next_multiple_of(step) * count - shared
        };
        Size::new(side(size.width), side(size.height))
    }

    fn spans(&self, side: usize, downsampling: usize) -> Result<Vec<Range<usize>>> {
        let Self { count, overlap_px } = *self;
        if count == 0 {
            bail!("no tiles");
        }
        let total = side + overlap_px * (count - 1);
        let length = total / count;
        let shared = if count > 1 { overlap_px } else { 0 };
        let whole = [length, shared].iter().all(|v| v.is_multiple_of(downsampling));
        if !total.is_multiple_of(count) || !whole || length <= shared {
            bail!(
                "a side of {side} pixels does not divide into {count} tiles that share {overlap_px}"
            );
        }
        Ok((0..count).map(|i| i * (length - shared)).map(|at| at..at + length).collect())
    }
}

/// The tiles of one picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    /// Pixel rows of each row of tiles.
    pub rows: Vec<Range<usize>>,
    /// Pixel columns of each column of tiles.
    pub columns: Vec<Range<usize>>,
    /// Latents that neighbours share.
    overlap: usize,
    downsampling: usize,
}

impl Grid {
    /// One picture out of the latents (F, C, h, w) of its tiles, in the order of rows, then columns.
    ///
    /// Each tile is first blended with the one above, then with the one on its left; both have been
    /// blended before, as in the reference, which writes its tiles in place. So a tile narrower than two
    /// overlaps passes what it took from the left on to the right.
    pub fn merge(&self, tiles: &[Tensor]) -> Result<Tensor> {
        let across = self.columns.len();
        if tiles.len() != across * self.rows.len() {
            bail!("{} tiles for {} by {across}", tiles.len(), self.rows.len());
        }
        let mut blended: Vec<Tensor> = Vec::with_capacity(tiles.len());
        for (i, tile) in tiles.iter().enumerate() {
            let mut tile = tile.clone();
            if i >= across {
                tile = blend(&blended[i - across], &tile, 2, self.overlap)?;
            }
            if i % across > 0 {
                tile = blend(&blended[i - 1], &tile, 3, self.overlap)?;
            }
            blended.push(tile);
        }
        let cut = |spans: &[Range<usize>], i: usize| {
            let end = spans.get(i + 1).map_or(spans[i].end, |next| next.start);
            (end - spans[i].start) / self.downsampling
        };
        let mut rows = Vec::with_capacity(self.rows.len());
        for (i, row) in blended.chunks(across).enumerate() {
            let parts: Vec<Tensor> = row
                .iter()
                .enumerate()
                .map(|(j, tile)| {
                    tile.narrow(2, 0, cut(&self.rows, i))?.narrow(3, 0, cut(&self.columns, j))
                })
                .collect::<Result<_>>()?;
            rows.push(Tensor::cat(&parts, 3)?);
        }
        Tensor::cat(&rows, 2)
    }
}

/// `after` with its first `overlap` lines along `dim` mixed with the last of `before`: all of `before`
/// on the first, `overlap - 1` parts of `overlap` of `after` on the last.
fn blend(before: &Tensor, after: &Tensor, dim: usize, overlap: usize) -> Result<Tensor> {
    if overlap == 0 {
        return Ok(after.clone());
    }
    let weights: Vec<f32> = (0..overlap).map(|i| i as f32 / overlap as f32).collect();
    let mut shape = [1; 4];
    shape[dim] = overlap;
    let weights = Tensor::from_vec(weights, &shape, after.device())?;
    let length = after.dim(dim)?;
    let old = before.narrow(dim, before.dim(dim)? - overlap, overlap)?;
    let new = after.narrow(dim, 0, overlap)?;
    let mixed = (old.broadcast_mul(&(1.0 - &weights)?)? + new.broadcast_mul(&weights)?)?;
    Tensor::cat(&[&mixed, &after.narrow(dim, overlap, length - overlap)?], dim)
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)]
mod tests {
    use super::*;
    use candle_core::Device;
    use proptest::prelude::*;

    fn spans(side: usize, count: usize) -> Result<Vec<Range<usize>>> {
        Tiling { count, overlap_px: 128 }.spans(side, 8)
    }

    #[test]
    fn grids_of_the_reference() {
        assert_eq!(spans(1024, 1).unwrap(), [0..1024]);
        assert_eq!(spans(1920, 2).unwrap(), [0..1024, 896..1920]);
        assert_eq!(spans(1024, 2).unwrap(), [0..576, 448..1024]);
        assert_eq!(spans(896, 3).unwrap(), [0..384, 256..640, 512..896]);
        assert_eq!(spans(1664, 4).unwrap(), [0..512, 384..896, 768..1280, 1152..1664]);
        for (side, count) in [(1920, 3), (1024, 3), (1020, 1), (128, 0), (128, 2)] {
            assert!(spans(side, count).is_err(), "{side} in {count}");
        }
    }

    fn constant(value: f32, h: usize, w: usize) -> Tensor {
        Tensor::full(value, (1, 1, h, w), &Device::Cpu).unwrap()
    }

    #[test]
    fn a_seam_starts_as_its_left_side_and_never_ends_as_its_right() {
        let tiling = Tiling { count: 2, overlap_px: 4 };
        let grid = Grid { rows: vec![0..3], ..tiling.grid(Size::new(12, 12), 1).unwrap() };
        let merged = grid.merge(&[constant(0.0, 3, 8), constant(4.0, 3, 8)]).unwrap();
        let row: Vec<f32> =
            merged.narrow(2, 0, 1).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(row, [0., 0., 0., 0., 0., 1., 2., 3., 4., 4., 4., 4.]);
        assert!(grid.merge(&[constant(0.0, 3, 8)]).is_err());
    }

    #[test]
    fn neighbours_are_blended_before_they_are_blended_with() {
        // Tiles of 3 that share 2: the second passes the first's values on to the third.
        let tiling = Tiling { count: 3, overlap_px: 2 };
        let grid = Grid { rows: vec![0..1], ..tiling.grid(Size::new(5, 5), 1).unwrap() };
        let tiles = [constant(8.0, 1, 3), constant(0.0, 1, 3), constant(0.0, 1, 3)];
        let merged = grid.merge(&tiles).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(merged, [8., 8., 4., 0., 0.]);
        // Where four meet, the vertical blend comes first.
        let grid = Tiling { count: 2, overlap_px: 2 }.grid(Size::new(4, 4), 1).unwrap();
        let tiles = [16.0, 0.0, 0.0, 0.0].map(|v| constant(v, 3, 3));
        let merged = grid.merge(&tiles).unwrap().squeeze(0).unwrap().squeeze(0).unwrap();
        assert_eq!(
            merged.to_vec2::<f32>().unwrap(),
            [[16., 16., 8., 0.], [16., 16., 12., 0.], [8., 8., 6., 0.], [0., 0., 0., 0.]]
        );
    }

    proptest! {
        #[test]
        fn padded_sizes_divide(
            count in 1usize..6, width in 1usize..3000, height in 1usize..3000,
            step in prop::sample::select(vec![8usize, 64]),
        ) {
            let tiling = Tiling { count, overlap_px: 128 };
            let padded = tiling.padded(Size::new(width, height), step);
            prop_assert!(padded.width >= width && padded.height >= height);
            let grid = tiling.grid(padded, 8).unwrap();
            for span in grid.rows.iter().chain(&grid.columns) {
                prop_assert_eq!(span.len() % step, 0);
            }
            if count == 1 {
                prop_assert!(padded.width < width + step && padded.height < height + step);
            }
        }

        #[test]
        fn tiles_of_one_picture_merge_to_it(
            count in 1usize..5, overlap in 0usize..6, stride in 1usize..6,
        ) {
            let length = overlap + stride;
            let side = length + stride * (count - 1);
            let tiling = Tiling { count, overlap_px: overlap };
            let grid = tiling.grid(Size::new(side, side), 1).unwrap();
            let picture = Tensor::arange(0f32, (side * side) as f32, &Device::Cpu).unwrap()
                .reshape((1, 1, side, side)).unwrap();
            let mut tiles = Vec::new();
            for rows in &grid.rows {
                for columns in &grid.columns {
                    tiles.push(picture.narrow(2, rows.start, rows.len()).unwrap()
                        .narrow(3, columns.start, columns.len()).unwrap());
                }
            }
            let merged = grid.merge(&tiles).unwrap();
            let worst = (merged - picture).unwrap().abs().unwrap().flatten_all().unwrap()
                .max(0).unwrap().to_scalar::<f32>().unwrap();
            prop_assert!(worst <= 1e-4 * (side * side) as f32, "{worst}");
        }
    }
}
