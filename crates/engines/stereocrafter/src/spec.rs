//! What the engine says of itself.

use std::sync::Arc;

use parallax_engine_spec::{Choice, EngineSpec, WeightsSpec};

use crate::engine::NAME;
use crate::examine;
use crate::published;
use crate::selection::Chosen;

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
    select: |choices| Ok(Arc::new(Chosen(choices.clone()))),
};

const WEIGHTS: WeightsSpec = WeightsSpec {
    models: &published::ALL,
    recognise: examine::recognise,
    examine: examine::model,
    stages: examine::stages,
    demands: examine::demands,
};
