//! Tokens in windows, and the strongest of four.

use candle_core::{Result, Shape, Tensor, bail};
use parallax_nn::ops::{F32Op, apply1, is_cpu_f32};
use rayon::prelude::*;

/// How a grid of tokens is cut. Windows at the right and at the bottom are filled with zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Windows {
    /// Rows and columns of the grid.
    grid: (usize, usize),
    /// Rows and columns of a window.
    pub(crate) window: (usize, usize),
}

impl Windows {
    /// Windows of `side` in `grid`; one that is the whole grid where `side` is 0.
    pub(crate) fn new(grid: (usize, usize), side: usize) -> Self {
        Self { grid, window: if side == 0 { grid } else { (side, side) } }
    }

    /// The same where every two tokens of a side have become one.
    pub(crate) fn halved(self) -> Self {
        let half = |(rows, columns)| (rows / 2, columns / 2);
        Self { grid: half(self.grid), window: half(self.window) }
    }

    /// Windows in a column and in a row.
    fn counts(self) -> (usize, usize) {
        (self.grid.0.div_ceil(self.window.0), self.grid.1.div_ceil(self.window.1))
    }

    /// (N, h, w, C) to (N windows, rows, columns, C).
    pub(crate) fn split(self, x: &Tensor) -> Result<Tensor> {
        let (n, h, w, c) = x.dims4()?;
        if (h, w) != self.grid {
            bail!("{:?} tokens cut as {:?}", (h, w), self.grid);
        }
        if self.window == self.grid {
            return Ok(x.clone());
        }
        if is_cpu_f32(x) {
            return apply1(&Split(self), x);
        }
        let ((rows, columns), (down, across)) = (self.window, self.counts());
        let x =
            x.pad_with_zeros(1, 0, down * rows - h)?.pad_with_zeros(2, 0, across * columns - w)?;
        // (N, down, rows, across, columns, C) -> (N, down, across, rows, columns, C)
        let x = x.reshape(&[n, down, rows, across, columns, c][..])?;
        let x = x.permute(vec![0, 1, 3, 2, 4, 5])?.contiguous()?;
        x.reshape((n * down * across, rows, columns, c))
    }

    /// The way back, without what windows were filled with: (N windows, tokens, C) to (N, h, w, C).
    pub(crate) fn join(self, x: &Tensor) -> Result<Tensor> {
        let c = x.dim(2)?;
        let ((rows, columns), (down, across)) = (self.window, self.counts());
        let (h, w) = self.grid;
        let n = x.dim(0)? / (down * across);
        if self.window == self.grid {
            return x.reshape((n, h, w, c));
        }
        if is_cpu_f32(x) {
            return apply1(&Join(self), x);
        }
        let x = x.reshape(&[n, down, across, rows, columns, c][..])?;
        let x = x.permute(vec![0, 1, 3, 2, 4, 5])?.contiguous()?;
        let x = x.reshape((n, down * rows, across * columns, c))?;
        x.narrow(1, 0, h)?.narrow(2, 0, w)?.contiguous()
    }
}

struct Split(Windows);

impl F32Op<1> for Split {
    fn name(&self) -> &'static str {
        "split-windows"
    }

    fn compute(&self, [x]: [&[f32]; 1], [shape]: [&Shape; 1]) -> Result<(Vec<f32>, Shape)> {
        let (n, h, w, c) = shape.dims4()?;
        let ((rows, columns), (down, across)) = (self.0.window, self.0.counts());
        let mut y = vec![0f32; n * down * across * rows * columns * c];
        y.par_chunks_mut(rows * columns * c).enumerate().for_each(|(i, y)| {
            let (image, top, left) =
                (i / (down * across), i / across % down * rows, i % across * columns);
            let length = columns.min(w - left) * c;
            for (row, y) in y.chunks_exact_mut(columns * c).enumerate().take(h - top) {
                let start = ((image * h + top + row) * w + left) * c;
                y[..length].copy_from_slice(&x[start..][..length]);
            }
        });
        Ok((y, Shape::from((n * down * across, rows, columns, c))))
    }
}

struct Join(Windows);

impl F32Op<1> for Join {
    fn name(&self) -> &'static str {
        "join-windows"
    }

    fn compute(&self, [x]: [&[f32]; 1], [shape]: [&Shape; 1]) -> Result<(Vec<f32>, Shape)> {
        let (all, tokens, c) = shape.dims3()?;
        let ((rows, columns), (down, across)) = (self.0.window, self.0.counts());
        let (h, w) = self.0.grid;
        if tokens != rows * columns {
            bail!("windows of {tokens} tokens for {rows} rows of {columns}");
        }
        let n = all / (down * across);
        let mut y = vec![0f32; n * h * w * c];
        y.par_chunks_mut(w * c).enumerate().for_each(|(line, y)| {
            let (image, at) = (line / h, line % h);
            for (i, y) in y.chunks_mut(columns * c).enumerate() {
                let window = (image * down + at / rows) * across + i;
                let start = (window * rows + at % rows) * columns * c;
                y.copy_from_slice(&x[start..][..y.len()]);
            }
        });
        Ok((y, Shape::from((n, h, w, c))))
    }
}

/// The largest of every two by two tokens, channel by channel: (N, h, w, C) to (N, h / 2, w / 2, C).
pub(crate) fn pool(x: &Tensor) -> Result<Tensor> {
    if is_cpu_f32(x) {
        return apply1(&Pool, x);
    }
    let (n, h, w, c) = x.dims4()?;
    let x = x.narrow(1, 0, h / 2 * 2)?.narrow(2, 0, w / 2 * 2)?.contiguous()?;
    // (N, h / 2, 2, w / 2, 2, C)
    x.reshape(&[n, h / 2, 2, w / 2, 2, c][..])?.max(4)?.max(2)
}

struct Pool;

impl F32Op<1> for Pool {
    fn name(&self) -> &'static str {
        "max-pool2x2"
    }

    fn compute(&self, [x]: [&[f32]; 1], [shape]: [&Shape; 1]) -> Result<(Vec<f32>, Shape)> {
        let (n, h, w, c) = shape.dims4()?;
        let (rows, columns) = (h / 2, w / 2);
        let mut y = vec![0f32; n * rows * columns * c];
        if y.is_empty() {
            return Ok((y, Shape::from((n, rows, columns, c))));
        }
        y.par_chunks_mut(columns * c).enumerate().for_each(|(line, y)| {
            let upper = &x[(line / rows * h + line % rows * 2) * w * c..][..2 * w * c];
            let (upper, lower) = upper.split_at(w * c);
            for (i, y) in y.chunks_exact_mut(c).enumerate() {
                let four =
                    [&upper[2 * i * c..], &lower[2 * i * c..]].map(|x| x[..2 * c].split_at(c));
                let [(a, b), (d, e)] = four;
                for ((((y, a), b), d), e) in y.iter_mut().zip(a).zip(b).zip(d).zip(e) {
                    *y = a.max(*b).max(d.max(*e));
                }
            }
        });
        Ok((y, Shape::from((n, rows, columns, c))))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    fn numbered(shape: (usize, usize, usize, usize)) -> Tensor {
        let (n, h, w, c) = shape;
        let values = (0..n * h * w * c).map(|i| ((i * 7919) % 10_007) as f32 + 1.0).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn values(x: &Tensor) -> Vec<f32> {
        x.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn windows_are_what_candle_cuts_and_come_back() {
        for (n, grid, side) in
            [(1, (8, 8), 4), (2, (5, 7), 3), (1, (4, 6), 0), (1, (3, 2), 8), (1, (64, 64), 14)]
        {
            let windows = Windows::new(grid, side);
            let x = numbered((n, grid.0, grid.1, 3));
            let cut = windows.split(&x).unwrap();
            let wide = windows.split(&x.to_dtype(DType::F64).unwrap()).unwrap();
            assert_eq!((cut.dims(), values(&cut)), (wide.dims(), values(&wide)));
            let (all, rows, columns, c) = cut.dims4().unwrap();
            let flat = |x: &Tensor| x.reshape((all, rows * columns, c)).unwrap();
            for back in [windows.join(&flat(&cut)), windows.join(&flat(&wide))] {
                let back = back.unwrap();
                assert_eq!((back.dims(), values(&back)), (x.dims(), values(&x)));
            }
        }
        assert!(Windows::new((4, 4), 2).split(&numbered((1, 4, 6, 1))).is_err());
    }

    #[test]
    fn the_largest_of_four_is_taken() {
        for shape in [(1, 2, 2, 1), (2, 4, 6, 5), (1, 5, 3, 2), (1, 1, 4, 1)] {
            let x = numbered(shape);
            let x = (x - 5000.0).unwrap();
            let got = pool(&x).unwrap();
            let want = x.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
            if shape.1 > 1 {
                let want = want.max_pool2d(2).unwrap().permute((0, 2, 3, 1)).unwrap();
                assert_eq!(values(&got), values(&want.contiguous().unwrap()));
                let wide = pool(&x.to_dtype(DType::F64).unwrap()).unwrap();
                assert_eq!(values(&wide), values(&got));
            }
            assert_eq!(got.dims(), [shape.0, shape.1 / 2, shape.2 / 2, shape.3]);
        }
    }
}
