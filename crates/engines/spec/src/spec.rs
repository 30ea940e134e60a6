//! An engine as the catalogue lists it.

use std::sync::Arc;

use crate::{Choice, Choices, Refused, Selection, WeightsSpec};

/// An engine that a user selects by name.
#[derive(Debug, Clone, Copy)]
pub struct EngineSpec {
    /// As a user spells it.
    pub name: &'static str,
    /// What it does, and what for, in one line without a full stop.
    pub summary: &'static str,
    /// The options that it takes; others are refused.
    pub takes: &'static [Choice],
    /// The weights that it reads; `None` for engines without any.
    pub weights: Option<&'static WeightsSpec>,
    /// The engine with a user's choices: cheap, nothing is opened.
    ///
    /// # Errors
    /// When a choice is missing without which there is no such engine.
    pub select: fn(&Choices) -> Result<Arc<dyn Selection>, Refused>,
}

impl EngineSpec {
    /// Whether it takes this option.
    pub fn takes(&self, choice: Choice) -> bool {
        self.takes.contains(&choice)
    }
}
