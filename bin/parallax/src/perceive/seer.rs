//! What looks.

use anyhow::{Context, Result};
use parallax_media::Tools;
use parallax_perception::{Choosable, Embedder};

/// What looks, once its files were examined; it is read when something is there to look at.
pub(super) struct Seer {
    pub(super) tools: Tools,
    pub(super) model: Choosable,
    loaded: Option<Embedder>,
}

impl Seer {
    pub(super) fn new(tools: Tools, model: Choosable) -> Self {
        Self { tools, model, loaded: None }
    }

    pub(super) fn embedder(&mut self) -> Result<&Embedder> {
        if self.loaded.is_none() {
            self.loaded = Some(load(&self.model)?);
        }
        self.loaded.as_ref().context("no network")
    }
}

/// Reads a network.
pub(crate) fn load(model: &Choosable) -> Result<Embedder> {
    model.load().map_err(|failure| {
        let why = failure.detail.unwrap_or(failure.message);
        anyhow::anyhow!("{}: {why}", model.model)
    })
}
