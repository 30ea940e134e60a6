//! What the engine says of itself.

use std::sync::Arc;

use parallax_engine_spec::{
    Choice, DepthSpec, EngineSpec, Halves, InpaintSpec, Needs, WeightsSpec,
};

use crate::engine::NAME;
use crate::examine;
use crate::published;
use crate::selection::Chosen;
use crate::stages::Stages;

/// `stereocrafter`, as the catalogue lists it.
pub const SPEC: EngineSpec = EngineSpec {
    name: NAME,
    summary: "The published quality; needs weights",
    takes: &[
        Choice::Weights,
        Choice::Reference,
        Choice::Steps,
        Choice::Device,
        Choice::Dtype,
        Choice::MemoryPlan,
        Choice::MemoryLimit,
    ],
    weights: Some(&WEIGHTS),
    halves: Some(Halves { depth: DEPTH_SPEC.name, inpaint: Some(INPAINT_SPEC.name) }),
    select: |choices| Ok(Arc::new(Chosen(choices.clone(), Stages::Both))),
};

/// DepthCrafter, as the catalogue lists it among estimators.
pub const DEPTH_SPEC: DepthSpec = DepthSpec {
    name: "depthcrafter",
    summary: "DepthCrafter's network; needs weights",
    takes: HALF,
    weights: Some(&WeightsSpec { models: &published::DEPTH, ..WEIGHTS }),
    halves: None,
    select: |choices| Ok(Arc::new(Chosen(choices.clone(), Stages::Depth))),
};

/// StereoCrafter's second stage, as the catalogue lists it among inpainters.
pub const INPAINT_SPEC: InpaintSpec = InpaintSpec {
    name: NAME,
    summary: "StereoCrafter's network; needs weights",
    takes: HALF,
    weights: Some(&WeightsSpec { models: &published::INPAINTING, ..WEIGHTS }),
    halves: None,
    select: |choices| Ok(Arc::new(Chosen(choices.clone(), Stages::Inpainting))),
};

/// What was published is both stages together.
const HALF: &[Choice] = &[
    Choice::Weights,
    Choice::Steps,
    Choice::Device,
    Choice::Dtype,
    Choice::MemoryPlan,
    Choice::MemoryLimit,
];

const WEIGHTS: WeightsSpec = WeightsSpec {
    models: &published::ALL,
    needs: Needs::All,
    recognise: examine::recognise,
    examine: examine::model,
    stages: examine::stages,
    demands: examine::demands,
};
