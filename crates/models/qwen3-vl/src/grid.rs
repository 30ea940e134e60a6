//! Patches of pictures: how many there are, and in which order they come.

/// Frame pairs, and rows and columns of patches of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Frame pairs; one for a picture.
    pub pairs: usize,
    /// Rows of patches.
    pub rows: usize,
    /// Columns of patches.
    pub columns: usize,
}

/// Rows and columns of a frame's patches in the order in which they come: block by block of `merge` patches a side.
pub(crate) fn block_order(grid: Grid, merge: usize) -> Vec<(usize, usize)> {
    let mut order = Vec::with_capacity(grid.rows * grid.columns);
    for (row, column) in (0..grid.rows / merge)
        .flat_map(|row| (0..grid.columns / merge).map(move |column| (row * merge, column * merge)))
    {
        for i in 0..merge * merge {
            order.push((row + i / merge, column + i % merge));
        }
    }
    order
}
