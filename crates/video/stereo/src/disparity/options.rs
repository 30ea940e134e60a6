//! What may be chosen of the way from a network to disparity.

use std::time::Duration;

use super::range::LOOKAHEAD;
use crate::{Error, Reach};

/// Of longer shots the last so many seconds count. Alignment has forgotten all but a thousandth of what
/// came before, the range a fortieth.
const SHOT: Duration = Duration::from_secs(30);

/// Choices of a [`SteadyDepth`](crate::SteadyDepth).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChainOptions {
    /// How far the camera steps back (above 0) or comes closer (below): stepping back takes relief from
    /// what is near and gives it to what is far; -3 to 3. Defaults to 0, which changes nothing.
    pub curve: f32,
    /// The network sees every so many-th frame, and the shot's last; frames between take what those
    /// around them have, along their motion; 1 to 8. Defaults to 1.
    pub every: u32,
    /// Which steps are taken. Defaults to all.
    pub steps: ChainSteps,
}

/// The steps of the chain, for measuring what each of them is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainSteps {
    /// Aligns scale and shift to those of the frame before.
    pub align: bool,
    /// Mixes in the frame before where it shows the same.
    pub blend: bool,
    /// One range for a shot, which changes too slowly to be seen, in place of every frame's own.
    pub shot_range: bool,
    /// Makes soft edges of depth steps where the picture has its edges.
    pub sharpen: bool,
    /// Spreads nearness sideways over pixels that mix foreground and background.
    pub spread: bool,
}

impl Default for ChainSteps {
    fn default() -> Self {
        Self { align: true, blend: true, shot_range: true, sharpen: true, spread: true }
    }
}

impl ChainSteps {
    /// None of them: every frame's own range, made larger bilinearly.
    pub fn none() -> Self {
        Self { align: false, blend: false, shot_range: false, sharpen: false, spread: false }
    }
}

impl Default for ChainOptions {
    fn default() -> Self {
        Self { curve: 0.0, every: 1, steps: ChainSteps::default() }
    }
}

impl ChainOptions {
    /// # Errors
    /// `Unsupported` naming the field, what was found and what is allowed.
    pub fn validate(&self) -> Result<(), Error> {
        if !(-3.0..=3.0).contains(&self.curve) {
            let found = self.curve;
            return Err(Error::Unsupported(format!("curve {found}: allowed is -3 to 3")));
        }
        if !(1..=8).contains(&self.every) {
            let found = self.every;
            return Err(Error::Unsupported(format!("every {found}: allowed is 1 to 8")));
        }
        Ok(())
    }

    /// What depth depends on besides a clip, with a network that lags by `lag` frames of those it sees.
    pub fn reach(&self, lag: usize) -> Reach {
        let every = self.every as usize;
        Reach { back: SHOT, within_shot: true, ahead: every * (lag + 1) - 1 + LOOKAHEAD - 1 }
    }
}
