//! What a picture is to the decoder.

use candle_core::Tensor;

/// What is known of a picture before anything is pointed at.
#[derive(Debug, Clone)]
pub struct Features {
    /// (1, 4 h, 4 w, C / 8)
    pub(crate) fine: Tensor,
    /// (1, 2 h, 2 w, C / 4)
    pub(crate) middle: Tensor,
    /// (1, h, w, C), without what stands for memory.
    pub(crate) coarse: Tensor,
}
