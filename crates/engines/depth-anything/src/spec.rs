//! What the engines say of themselves.

use std::sync::Arc;

use parallax_engine_spec::{Choice, DepthSpec, EngineSpec, Halves, Needs, WeightsSpec};

use crate::examine;
use crate::family::Family;
use crate::published::{SINGLE, VIDEO};
use crate::selection::Selected;

const TAKES: &[Choice] = &[
    Choice::Weights,
    Choice::Model,
    Choice::Reference,
    Choice::Device,
    Choice::Dtype,
    Choice::DepthSize,
    Choice::DepthCurve,
    Choice::DepthEvery,
];

const TAKEN_BY_VIDEO: &[Choice] = &[
    Choice::Weights,
    Choice::Model,
    Choice::Reference,
    Choice::Device,
    Choice::Dtype,
    Choice::DepthSize,
    Choice::DepthCurve,
    Choice::DepthEvery,
    Choice::DepthMode,
];

/// `depth-anything`, as the catalogue lists it.
pub const SPEC: EngineSpec = EngineSpec {
    name: "depth-anything",
    summary: "A depth network that sees frame by frame, on any CPU; needs weights",
    takes: TAKES,
    weights: Some(&WeightsSpec { models: &SINGLE, ..WEIGHTS }),
    halves: Some(Halves { depth: "depth-anything", inpaint: None }),
    select: |choices| Ok(Arc::new(Selected(choices.clone(), Family::Single))),
};

/// `depth-anything`, as the catalogue lists it among estimators.
pub const DEPTH_SPEC: DepthSpec = DepthSpec {
    name: "depth-anything",
    summary: "A depth network that sees frame by frame; needs weights",
    takes: TAKES,
    weights: Some(&WeightsSpec { models: &SINGLE, ..WEIGHTS }),
    halves: None,
    select: |choices| Ok(Arc::new(Selected(choices.clone(), Family::Single))),
};

/// `video-depth-anything`, as the catalogue lists it.
pub const VIDEO_SPEC: EngineSpec = EngineSpec {
    name: "video-depth-anything",
    summary: "A depth network that sees a shot's frames together: steadier, slower; needs weights",
    takes: TAKEN_BY_VIDEO,
    weights: Some(&WeightsSpec { models: &VIDEO, ..WEIGHTS }),
    halves: Some(Halves { depth: "video-depth-anything", inpaint: None }),
    select: |choices| Ok(Arc::new(Selected(choices.clone(), Family::Video))),
};

/// `video-depth-anything`, as the catalogue lists it among estimators.
pub const VIDEO_DEPTH_SPEC: DepthSpec = DepthSpec {
    name: "video-depth-anything",
    summary: "A depth network that sees a shot's frames together; needs weights",
    takes: TAKEN_BY_VIDEO,
    weights: Some(&WeightsSpec { models: &VIDEO, ..WEIGHTS }),
    halves: None,
    select: |choices| Ok(Arc::new(Selected(choices.clone(), Family::Video))),
};

const WEIGHTS: WeightsSpec = WeightsSpec {
    models: &SINGLE,
    needs: Needs::One,
    recognise: examine::recognise,
    examine: examine::model,
    stages: examine::stages,
    demands: |_, _, _| Ok(Vec::new()),
};
