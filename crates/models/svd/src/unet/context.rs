//! What a clip is conditioned on besides its latents, computed once for all denoising steps.

use candle_core::{Result, Tensor, bail};

use super::prepared::Prepared;

/// Context tokens as the two kinds of attention see them.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) frames: usize,
    /// (B, T, D) or, with tokens of its own for every frame, (B F, 1, D).
    pub(super) spatial: Tensor,
    /// (B, T, D): those of the first frame.
    pub(super) temporal: Tensor,
}

impl Context {
    /// Tokens (B, T, D) shared by all frames of a clip.
    pub(super) fn per_clip(tokens: &Tensor, frames: usize) -> Result<Self> {
        tokens.dims3()?;
        Ok(Self { frames, spatial: tokens.clone(), temporal: tokens.clone() })
    }

    /// Tokens (B, F, D), one for each frame.
    pub(super) fn per_frame(tokens: &Tensor) -> Result<Self> {
        let (batch, frames, width) = tokens.dims3()?;
        if frames == 0 {
            bail!("a context without frames");
        }
        Ok(Self {
            frames,
            spatial: tokens.reshape((batch * frames, 1, width))?,
            temporal: tokens.narrow(1, 0, 1)?.contiguous()?,
        })
    }
}

/// A UNet's work that does not depend on the step: cross-attention to single tokens, frame positions,
/// the embedding of the added ids. Belongs to the network that made it.
#[derive(Debug, Clone)]
pub struct Conditioning {
    pub(super) frames: usize,
    pub(super) batch: usize,
    /// (B, E)
    pub(super) added: Tensor,
    pub(super) down: Vec<Vec<Prepared>>,
    pub(super) mid: Vec<Prepared>,
    pub(super) up: Vec<Vec<Prepared>>,
}
