//! A part of the catalogue as it is listed.

use std::fmt;
use std::sync::Arc;

use parallax_stereo::{DepthModel, Engine, InpaintModel};

use crate::{Choice, Choices, Refused, Selection, WeightsSpec};

/// What a user selects by name: an engine, or half of one.
pub struct Spec<P: ?Sized + 'static> {
    /// As a user spells it.
    pub name: &'static str,
    /// What it does, and what for, in one line without a full stop.
    pub summary: &'static str,
    /// The options that it takes; others are refused.
    pub takes: &'static [Choice],
    /// The weights that it reads; `None` without any.
    pub weights: Option<&'static WeightsSpec>,
    /// The halves that an engine is made of, by their names; `None` for what cannot be taken apart.
    pub halves: Option<Halves>,
    /// The selection with a user's choices: cheap, nothing is opened.
    ///
    /// # Errors
    /// When a choice is missing that cannot be done without.
    pub select: fn(&Choices) -> Result<SharedSelection<P>, Refused>,
}

/// A selection that is shared.
pub type SharedSelection<P> = Arc<dyn Selection<P>>;

/// What an engine is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Halves {
    /// Its depth estimator.
    pub depth: &'static str,
    /// Its inpainter; `None` where the fills of the warp are.
    pub inpaint: Option<&'static str>,
}

/// An engine.
pub type EngineSpec = Spec<dyn Engine>;
/// A depth estimator.
pub type DepthSpec = Spec<dyn DepthModel>;
/// An inpainter.
pub type InpaintSpec = Spec<dyn InpaintModel>;

impl<P: ?Sized> Spec<P> {
    /// Whether it takes this option.
    pub fn takes(&self, choice: Choice) -> bool {
        self.takes.contains(&choice)
    }
}

impl<P: ?Sized> Clone for Spec<P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P: ?Sized> Copy for Spec<P> {}

impl<P: ?Sized> fmt::Debug for Spec<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
