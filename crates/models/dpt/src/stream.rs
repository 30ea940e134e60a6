//! Films frame by frame: each sees those before it, by what was kept of them.
//!
//! The second scheme that Video Depth Anything was published with. No frame waits for later ones, and nothing is aligned
//! afterwards: a shot's first frame stays in sight of all others and holds their scale, less well than windows do.

use std::sync::Arc;

use candle_core::Result;
use parallax_nn::ignore;
use parallax_nn::ops::bilinear_aligned;

use crate::network::{DepthNetwork, Features};
use crate::past::Past;
use crate::windows::DepthMap;

/// One film, or one shot of it, in progress.
#[derive(Debug)]
pub struct Stream {
    network: Arc<DepthNetwork>,
    enlarged: Option<(usize, usize)>,
    past: Past,
}

impl Stream {
    /// For a film whose first frame comes next. Depth is brought to `enlarged`, rows and columns, where that is
    /// told, as published. Else it stays as it is.
    ///
    /// # Errors
    /// When the network has no attention over time.
    pub fn new(network: Arc<DepthNetwork>, enlarged: Option<(usize, usize)>) -> Result<Self> {
        let past = network.past()?;
        Ok(Self { network, enlarged, past })
    }

    /// The depth of the next frame.
    ///
    /// # Errors
    /// Those of the network.
    pub fn push(&mut self, frame: &Features) -> Result<DepthMap> {
        let depth = self.network.next(frame, &mut self.past, &mut ignore)?.depth;
        match self.enlarged {
            Some(size) => DepthMap::of(&bilinear_aligned(&depth, size)?, 0),
            None => DepthMap::of(&depth, 0),
        }
    }
}
