//! A safe face for the `gemm` crate's f32 product.
//!
//! The only place in this crate where raw pointers are handed out; every extent is checked first.

/// A strided matrix inside a slice: element `(i, j)` is `data[i * row_stride + j * col_stride]`.
#[derive(Clone, Copy)]
pub(super) struct Mat<'a> {
    pub(super) data: &'a [f32],
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
}

impl<'a> Mat<'a> {
    pub(super) fn rows(data: &'a [f32], row_stride: usize) -> Self {
        Self { data, row_stride, col_stride: 1 }
    }

    /// The transpose of [`Mat::rows`].
    pub(super) fn cols(data: &'a [f32], col_stride: usize) -> Self {
        Self { data, row_stride: 1, col_stride }
    }

    /// The part that begins at element `(i, j)`.
    pub(super) fn from(self, i: usize, j: usize) -> Self {
        Self { data: &self.data[i * self.row_stride + j * self.col_stride..], ..self }
    }

    fn holds(&self, rows: usize, cols: usize) -> bool {
        (rows - 1) * self.row_stride + (cols - 1) * self.col_stride < self.data.len()
    }
}

/// What happens to the destination's old contents.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Old {
    Overwrite,
    Add,
}

/// Threads for one product: the caller's, or all of rayon's.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Threads {
    One,
    All,
}

/// Sizes of a product: (m, k) by (k, n).
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
}

/// `dst = lhs * rhs (+ dst)` for `lhs` (m, k), `rhs` (k, n); `dst` has unit column stride.
#[allow(unsafe_code)]
#[allow(clippy::too_many_arguments)]
pub(super) fn product(
    sizes: Sizes,
    dst: &mut [f32],
    dst_row_stride: usize,
    lhs: Mat<'_>,
    rhs: Mat<'_>,
    old: Old,
    threads: Threads,
) {
    let Sizes { m, n, k } = sizes;
    if m == 0 || n == 0 {
        return;
    }
    assert!(k > 0 && n <= dst_row_stride.max(n * usize::from(m == 1)));
    assert!((m - 1) * dst_row_stride + n <= dst.len());
    assert!(lhs.holds(m, k) && rhs.holds(k, n));
    let parallelism = match threads {
        Threads::One => gemm::Parallelism::None,
        Threads::All => gemm::Parallelism::Rayon(rayon::current_num_threads()),
    };
    // SAFETY: the assertions above bound the last element that each of the three strided matrices
    // reaches, `dst` is borrowed exclusively and its rows do not overlap (row stride >= n).
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst.as_mut_ptr(),
            1,
            dst_row_stride as isize,
            old == Old::Add,
            lhs.data.as_ptr(),
            lhs.col_stride as isize,
            lhs.row_stride as isize,
            rhs.data.as_ptr(),
            rhs.col_stride as isize,
            rhs.row_stride as isize,
            1.0f32,
            1.0f32,
            false,
            false,
            false,
            parallelism,
        );
    }
}
