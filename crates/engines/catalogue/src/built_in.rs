//! The engines that have no crate of their own: they need no weights.

use std::sync::Arc;

use parallax_engine_spec::{
    Brought, Choice, Choices, DepthSpec, EngineSpec, Halves, Ready, Refused,
};
use parallax_stereo::{Copy, DepthModel, Draft, Engine};

pub(crate) const DRAFT: EngineSpec = EngineSpec {
    name: "draft",
    summary: "A preview from classical depth cues, on any CPU",
    takes: &[],
    weights: None,
    halves: Some(Halves { depth: DRAFT_DEPTH.name, inpaint: None }),
    select: |_| Ok(Arc::new(Ready::<dyn Engine>(Arc::new(Draft)))),
};

pub(crate) const DRAFT_DEPTH: DepthSpec = DepthSpec {
    name: "draft",
    summary: "Classical depth cues, on any CPU",
    takes: &[],
    weights: None,
    halves: None,
    select: |_| Ok(Arc::new(Ready::<dyn DepthModel>(Arc::new(Draft)))),
};

pub(crate) const COPY: EngineSpec = EngineSpec {
    name: "copy",
    summary: "Both eyes see the source: for tests",
    takes: &[],
    weights: None,
    halves: None,
    select: |_| Ok(Arc::new(Ready::<dyn Engine>(Arc::new(Copy)))),
};

/// The format of the depth is its reader's business: it comes here opened.
pub(crate) const DEPTH_FROM: EngineSpec = EngineSpec {
    name: "depth-from",
    summary: "The depth that the user brings",
    takes: &[Choice::Depth],
    weights: None,
    halves: Some(Halves { depth: DEPTH_BROUGHT.name, inpaint: None }),
    select: |choices| Ok(Arc::new(Ready(Arc::clone(&brought(choices)?.engine)))),
};

pub(crate) const DEPTH_BROUGHT: DepthSpec = DepthSpec {
    name: "depth-from",
    summary: "The depth that the user brings",
    takes: &[Choice::Depth],
    weights: None,
    halves: None,
    select: |choices| Ok(Arc::new(Ready(Arc::clone(&brought(choices)?.depth)))),
};

fn brought(choices: &Choices) -> Result<&Brought, Refused> {
    choices.depth.as_ref().ok_or_else(|| Refused::of(Choice::Depth, "it is missing"))
}
