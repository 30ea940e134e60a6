//! What a transformer computes once per clip.

use candle_core::Tensor;

/// What a cross-attention layer adds to its tokens.
#[derive(Debug, Clone)]
pub(super) enum CrossTerm {
    /// The layer's result for a single context token: (R, 1, C).
    Constant(Tensor),
    /// Keys and values of several context tokens: (R, T, C) each.
    Tokens(Tensor, Tensor),
}

/// Everything in one transformer that depends on the context or the number of frames only.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    /// Per layer, for the spatial and for the temporal block.
    pub(super) cross: Vec<(CrossTerm, CrossTerm)>,
    /// Embeddings of the frames' positions, (1, F, 1, C).
    pub(super) positions: Tensor,
}
