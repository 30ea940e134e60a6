//! Products with matrices that were packed beforehand.
//!
//! The weights of a layer are the same for every image, and the keys of a head for every block of queries:
//! they are laid out once as the innermost loop reads them. Sums run over all inputs in order and never
//! leave the registers, so a result depends neither on threads nor on how many rows are asked for at once.

use pulp::{Arch, Simd, WithSimd};

/// Rows of a matrix inside a slice, `stride` elements apart.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) data: &'a [f32],
    pub(super) stride: usize,
}

/// Bytes of a cache line.
const LINE: usize = 64;

/// A matrix (inputs, outputs) in panels of as many columns as a tile has, each row by row.
#[derive(Debug, Clone, Default)]
pub(super) struct Packed {
    panels: Vec<f32>,
    /// Where they begin: at the beginning of a cache line, so that no vector lies in two.
    begin: usize,
    inputs: usize,
    outputs: usize,
    /// Vectors of a panel's row.
    vectors: usize,
    /// Columns of a panel.
    wide: usize,
}

impl Packed {
    /// Makes room for a matrix, and zeros of the columns beyond it.
    fn shape(&mut self, inputs: usize, outputs: usize) {
        if (self.inputs, self.outputs) == (inputs, outputs) {
            return;
        }
        let lanes = Arch::new().dispatch(Lanes);
        // Three vectors need the fewest loads, where nothing wastes less.
        let waste =
            |v: &usize| (outputs.div_ceil(v * lanes) * v, [3, 4, 2].iter().position(|p| p == v));
        let vectors = [2, 3, 4].into_iter().min_by_key(waste).unwrap_or(3);
        let wide = vectors * lanes;
        let most = LINE / size_of::<f32>();
        self.panels.clear();
        self.panels.resize(outputs.div_ceil(wide) * wide * inputs + most, 0.0);
        self.begin = self.panels.as_ptr().align_offset(LINE).min(most);
        (self.inputs, self.outputs, self.vectors, self.wide) = (inputs, outputs, vectors, wide);
    }

    /// Of the weights (outputs, inputs) of a layer.
    pub(super) fn of_outputs(weights: Rows<'_>, shape: (usize, usize)) -> Self {
        let mut packed = Self::default();
        packed.fill_outputs(weights, shape, 1.0);
        packed
    }

    /// Of a matrix (inputs, outputs).
    pub(super) fn of_inputs(matrix: Rows<'_>, shape: (usize, usize)) -> Self {
        let mut packed = Self::default();
        packed.fill_inputs(matrix, shape);
        packed
    }

    /// [`Packed::of_outputs`] of the weights times `scale`, in the same place.
    pub(super) fn fill_outputs(
        &mut self,
        weights: Rows<'_>,
        (outputs, inputs): (usize, usize),
        scale: f32,
    ) {
        self.shape(inputs, outputs);
        let wide = self.wide;
        for (panel, first) in self.panels[self.begin..]
            .chunks_exact_mut(wide * inputs)
            .zip((0..outputs).step_by(wide))
        {
            for j in 0..wide.min(outputs - first) {
                let row = &weights.data[(first + j) * weights.stride..][..inputs];
                for (line, &weight) in panel.chunks_exact_mut(wide).zip(row) {
                    line[j] = weight * scale;
                }
            }
        }
    }

    /// [`Packed::of_inputs`] in the same place.
    pub(super) fn fill_inputs(&mut self, matrix: Rows<'_>, (inputs, outputs): (usize, usize)) {
        self.shape(inputs, outputs);
        let wide = self.wide;
        for (panel, first) in self.panels[self.begin..]
            .chunks_exact_mut(wide * inputs)
            .zip((0..outputs).step_by(wide))
        {
            let count = wide.min(outputs - first);
            for (i, line) in panel.chunks_exact_mut(wide).enumerate() {
                line[..count].copy_from_slice(&matrix.data[i * matrix.stride + first..][..count]);
            }
        }
    }

    /// The first output's weights.
    pub(super) fn first_column(&self) -> Vec<f32> {
        self.panels[self.begin..]
            .chunks_exact(self.wide)
            .take(self.inputs)
            .map(|line| line[0])
            .collect()
    }

    pub(super) fn inputs(&self) -> usize {
        self.inputs
    }

    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }
}

/// The lanes of a vector here.
pub(super) struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

/// `out = left packed`, row by row.
pub(super) struct Product<'a> {
    pub(super) left: Rows<'a>,
    pub(super) rows: usize,
    pub(super) packed: &'a Packed,
    pub(super) out: &'a mut [f32],
    /// From one row of `out` to the next.
    pub(super) stride: usize,
}

impl Product<'_> {
    /// On this thread. `finish` is given each piece of a row of the result while it is in the nearest cache:
    /// its row, its first column and its elements.
    pub(super) fn run(self, finish: impl FnMut(usize, usize, &mut [f32])) {
        Arch::new().dispatch(Finished { product: self, finish });
    }

    /// [`Product::run`] for who has chosen the instructions already. As many sums at
    /// once as there are registers, of which AVX-512 has twice as many.
    #[inline(always)]
    pub(super) fn with<S: Simd>(self, simd: S, finish: impl FnMut(usize, usize, &mut [f32])) {
        match (S::F32_LANES > 8, self.packed.vectors) {
            (true, 2) => self.tiles::<S, 12, 2>(simd, finish),
            (true, 3) => self.tiles::<S, 8, 3>(simd, finish),
            (true, _) => self.tiles::<S, 6, 4>(simd, finish),
            (false, 2) => self.tiles::<S, 6, 2>(simd, finish),
            (false, 3) => self.tiles::<S, 4, 3>(simd, finish),
            (false, _) => self.tiles::<S, 3, 4>(simd, finish),
        }
    }

    #[inline(always)]
    fn tiles<S: Simd, const M: usize, const V: usize>(
        self,
        simd: S,
        mut finish: impl FnMut(usize, usize, &mut [f32]),
    ) {
        let Packed { ref panels, begin, inputs, outputs, wide, .. } = *self.packed;
        for (panel, first) in
            panels[begin..].chunks_exact(wide * inputs).zip((0..outputs).step_by(wide))
        {
            let count = wide.min(outputs - first);
            let (panel, _) = S::as_simd_f32s(panel);
            let (panel, _) = panel.as_chunks::<V>();
            for row in (0..self.rows).step_by(M) {
                let some = M.min(self.rows - row);
                let mut lines = [&[][..]; M];
                for (i, line) in lines.iter_mut().enumerate() {
                    // Where rows are short of a tile the last is computed again.
                    let at = (row + i.min(some - 1)) * self.left.stride;
                    *line = &self.left.data[at..][..inputs];
                }
                let sums = tile::<S, M, V>(simd, lines, panel);
                for (i, sums) in sums.iter().enumerate().take(some) {
                    let out = &mut self.out[(row + i) * self.stride + first..][..count];
                    store(simd, out, sums);
                    finish(row + i, first, out);
                }
            }
        }
    }
}

struct Finished<'a, F> {
    product: Product<'a>,
    finish: F,
}

impl<F: FnMut(usize, usize, &mut [f32])> WithSimd for Finished<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.product.with(simd, self.finish);
    }
}

/// The products of `M` rows with a panel.
#[inline(always)]
fn tile<S: Simd, const M: usize, const V: usize>(
    simd: S,
    rows: [&[f32]; M],
    panel: &[[S::f32s; V]],
) -> [[S::f32s; V]; M] {
    let mut sums = [[simd.splat_f32s(0.0); V]; M];
    let mut lines = [&[][..]; M];
    for i in 0..M {
        lines[i] = &rows[i][..panel.len()];
    }
    for (p, b) in panel.iter().enumerate() {
        for i in 0..M {
            let a = simd.splat_f32s(lines[i][p]);
            for j in 0..V {
                sums[i][j] = simd.mul_add_f32s(a, b[j], sums[i][j]);
            }
        }
    }
    sums
}

#[inline(always)]
fn store<S: Simd, const V: usize>(simd: S, out: &mut [f32], sums: &[S::f32s; V]) {
    if out.len() == V * S::F32_LANES {
        let (out, _) = S::as_mut_simd_f32s(out);
        out[..V].copy_from_slice(sums);
        return;
    }
    for (out, &sums) in out.chunks_mut(S::F32_LANES).zip(sums) {
        simd.partial_store_f32s(out, sums);
    }
}
