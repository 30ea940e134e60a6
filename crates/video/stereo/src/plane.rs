//! One channel of f32 samples: depth, disparity, masks and working planes.

/// A row-major plane of `height` x `width` f32 values without padding.
#[derive(Debug, Clone, PartialEq)]
pub struct Plane {
    width: usize,
    height: usize,
    data: Vec<f32>,
}

impl Plane {
    /// A plane of one value.
    ///
    /// # Panics
    /// When either side is zero.
    pub fn filled(width: usize, height: usize, value: f32) -> Self {
        assert!(width > 0 && height > 0, "a plane of {width}x{height}");
        Self { width, height, data: vec![value; width * height] }
    }

    /// Wraps row-major samples.
    ///
    /// # Panics
    /// When either side is zero or `data` is not `width * height` long.
    pub fn new(width: usize, height: usize, data: Vec<f32>) -> Self {
        assert!(width > 0 && height > 0, "a plane of {width}x{height}");
        assert_eq!(data.len(), width * height, "samples of a {width}x{height} plane");
        Self { width, height, data }
    }

    /// Computes every sample from its column and row.
    pub fn from_fn(width: usize, height: usize, value: impl Fn(usize, usize) -> f32) -> Self {
        let mut data = Vec::with_capacity(width * height);
        for y in 0..height {
            data.extend((0..width).map(|x| value(x, y)));
        }
        Self::new(width, height, data)
    }

    /// Samples per row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// All samples.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// All samples, writable.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// Row `y`.
    pub fn row(&self, y: usize) -> &[f32] {
        &self.data[y * self.width..(y + 1) * self.width]
    }

    /// Row `y`, writable.
    pub fn row_mut(&mut self, y: usize) -> &mut [f32] {
        &mut self.data[y * self.width..(y + 1) * self.width]
    }

    /// The sample at column `x` of row `y`.
    pub fn at(&self, x: usize, y: usize) -> f32 {
        self.data[y * self.width + x]
    }
}
