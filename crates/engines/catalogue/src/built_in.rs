//! The engines that have no crate of their own: they need no weights.

use std::sync::Arc;

use parallax_engine_spec::{Choice, EngineSpec, Ready, Refused};
use parallax_stereo::{Copy, Draft};

pub(crate) const DRAFT: EngineSpec = EngineSpec {
    name: "draft",
    summary: "A preview from classical depth cues, on any CPU",
    takes: &[],
    weights: None,
    select: |_| Ok(Arc::new(Ready(Arc::new(Draft)))),
};

pub(crate) const COPY: EngineSpec = EngineSpec {
    name: "copy",
    summary: "Both eyes see the source: for tests",
    takes: &[],
    weights: None,
    select: |_| Ok(Arc::new(Ready(Arc::new(Copy)))),
};

/// The format of the depth is its reader's business: it comes here opened.
pub(crate) const DEPTH_FROM: EngineSpec = EngineSpec {
    name: "depth-from",
    summary: "The depth that the user brings",
    takes: &[Choice::Depth],
    weights: None,
    select: |choices| match &choices.depth {
        Some(engine) => Ok(Arc::new(Ready(Arc::clone(engine)))),
        None => Err(Refused::of(Choice::Depth, "it is missing")),
    },
};
