//! Films longer than the network sees at once: overlapping windows, aligned and blended.
//!
//! Video Depth Anything's scheme. A window sees 32 frames: ten that were seen before, 22 that are new. Of
//! the ten the first is the film's first frame, whatever the window, and the second lies twelve frames
//! before the third; the other eight come right before the new ones. Scale and shift of a window are those
//! that take its depth of the first two to what is known of them. What windows have in common fades from
//! the earlier to the later one. What an image alone decides is computed once, not once a window.

use std::sync::Arc;

use candle_core::{Result, Tensor, bail};
use parallax_nn::ignore;
use parallax_nn::ops::bilinear_aligned;

use crate::network::{DepthNetwork, Features};

/// Frames of a window.
const WINDOW: usize = 32;
/// What the next window sees again, by positions in this one.
const SEEN_AGAIN: [usize; 10] = [0, 12, 24, 25, 26, 27, 28, 29, 30, 31];
/// Positions of a window that are aligned to what is known of them.
const ALIGNED: usize = 2;
/// Frames that two windows share and blend.
const BLENDED: usize = 8;

/// A choice of how windows are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WindowOptions {
    /// Whether windows that the film does not fill see its last frame over and over, as published. Else
    /// they see what there is.
    pub padded: bool,
    /// Rows and columns that depth is brought to before it is aligned, as published. Else it is aligned as
    /// it is.
    pub enlarged: Option<(usize, usize)>,
}

/// The depth of one frame, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct DepthMap {
    /// Samples of a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// All samples.
    pub data: Vec<f32>,
}

impl DepthMap {
    /// Of image `i` of (N, 1, H, W).
    pub(crate) fn of(depth: &Tensor, i: usize) -> Result<Self> {
        let (_, _, height, width) = depth.dims4()?;
        let data = depth.get(i)?.flatten_all()?.to_vec1()?;
        Ok(Self { width, height, data })
    }
}

/// One film, or one shot of it, in progress.
#[derive(Debug)]
pub struct Windows {
    network: Arc<DepthNetwork>,
    options: WindowOptions,
    /// Of the window that is being filled: what was seen before, then what is new.
    inputs: Vec<Features>,
    /// How many of them were seen before.
    again: usize,
    /// Depth that later windows are aligned to: the first frame's, and the last window's thirteenth.
    known: Vec<DepthMap>,
    /// Frames that the next window blends with its own.
    held: Vec<DepthMap>,
}

impl Windows {
    /// For a film whose first frame comes next.
    pub fn new(network: Arc<DepthNetwork>, options: WindowOptions) -> Self {
        let (inputs, known, held) = (Vec::new(), Vec::new(), Vec::new());
        Self { network, options, inputs, again: 0, known, held }
    }

    /// Takes the next frame; gives the depth of those that are done.
    ///
    /// # Errors
    /// Those of the network.
    pub fn push(&mut self, frame: Features) -> Result<Vec<DepthMap>> {
        self.inputs.push(frame);
        if self.inputs.len() < WINDOW {
            return Ok(Vec::new());
        }
        let mut done = self.window()?;
        self.held = done.split_off(done.len() - BLENDED);
        self.inputs = SEEN_AGAIN.iter().map(|&i| self.inputs[i].clone()).collect();
        self.again = SEEN_AGAIN.len();
        Ok(done)
    }

    /// Ends the film; gives the depth of the rest.
    ///
    /// # Errors
    /// Those of the network.
    pub fn finish(&mut self) -> Result<Vec<DepthMap>> {
        let new = self.inputs.len() - self.again;
        // As published, a window begins wherever a frame does that is 22 after the last one's.
        let begun = new > 0 || (self.options.padded && !self.held.is_empty());
        let mut done = std::mem::take(&mut self.held);
        if begun {
            let owed = done.len() + new;
            self.held = done;
            if let (true, Some(last)) = (self.options.padded, self.inputs.last().cloned()) {
                self.inputs.resize(WINDOW, last);
            }
            done = self.window()?;
            done.truncate(owed);
        }
        *self = Self::new(Arc::clone(&self.network), self.options);
        Ok(done)
    }

    /// The depth of the frames of a window that no earlier one has given out.
    fn window(&mut self) -> Result<Vec<DepthMap>> {
        let mut maps = self.maps()?;
        if self.again > 0 {
            self.align(&mut maps)?;
            for (i, (new, old)) in maps[ALIGNED..].iter_mut().zip(&self.held).enumerate() {
                let t = i as f32 / (BLENDED - 1) as f32;
                new.data.iter_mut().zip(&old.data).for_each(|(n, o)| *n = *n * t + o * (1.0 - t));
            }
        } else {
            self.known = maps.first().cloned().into_iter().collect();
        }
        if let Some(map) = maps.get(SEEN_AGAIN[1]) {
            self.known.truncate(1);
            self.known.push(map.clone());
        }
        Ok(maps.split_off(if self.again > 0 { ALIGNED } else { 0 }))
    }

    /// What the network says of the window.
    fn maps(&self) -> Result<Vec<DepthMap>> {
        let depth = self.network.depth(&self.inputs, &mut ignore)?.depth;
        let depth = match self.options.enlarged {
            Some(size) => bilinear_aligned(&depth, size)?,
            None => depth,
        };
        (0..depth.dim(0)?).map(|i| DepthMap::of(&depth, i)).collect()
    }

    /// Brings all `maps` to the scale and shift of what is known of the first two.
    fn align(&self, maps: &mut [DepthMap]) -> Result<()> {
        if self.known.len() < ALIGNED || maps.len() < ALIGNED {
            bail!("a window of {} after {} known frames", maps.len(), self.known.len());
        }
        let pairs = maps.iter().zip(&self.known).flat_map(|(m, k)| m.data.iter().zip(&k.data));
        let (scale, shift) = least_squares(pairs.map(|(&x, &y)| (f64::from(x), f64::from(y))));
        let (scale, shift) = (scale as f32, shift as f32);
        for map in maps {
            map.data.iter_mut().for_each(|v| *v = (*v * scale + shift).max(0.0));
        }
        Ok(())
    }
}

/// Scale and shift that bring `x` nearest to `y`; the shift alone where all `x` are equal.
fn least_squares(pairs: impl Iterator<Item = (f64, f64)>) -> (f64, f64) {
    let (mut n, mut x1, mut x2, mut y1, mut xy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (x, y) in pairs {
        n += 1.0;
        x1 += x;
        x2 += x * x;
        y1 += y;
        xy += x * y;
    }
    let determinant = n * x2 - x1 * x1;
    if determinant <= f64::EPSILON * n * x2 {
        return (1.0, if n > 0.0 { (y1 - x1) / n } else { 0.0 });
    }
    ((n * xy - x1 * y1) / determinant, (x2 * y1 - x1 * xy) / determinant)
}
