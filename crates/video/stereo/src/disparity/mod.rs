//! From what a depth network says to disparity that can be watched.
//!
//! A feed-forward network gives inverse depth whose scale and shift are unknown, seldom those of the
//! frame before, at a size far below the frame's and soft at its edges. [`SteadyDepth`] makes of it what a
//! [`DepthEstimator`](crate::DepthEstimator) promises, shot by shot: frames are aligned to those before
//! them along their motion, frames that the network did not see take what those around them have, the
//! shot's range becomes 0 to 1, and edges become steps where the picture has them. It holds for any
//! network and knows none.

mod affine;
mod alignment;
mod between;
mod curve;
mod edges;
mod inverse_depth;
mod options;
mod range;
mod steady;
mod waiting;

pub use self::inverse_depth::InverseDepth;
pub use self::options::{ChainOptions, ChainSteps};
pub use self::steady::SteadyDepth;
