//! One shot in progress: what the last frame looked like and what is remembered of it.

use parallax_frame::Frame;

use crate::Plane;
use crate::draft::cues;
use crate::draft::evidence::{Evidence, Reading};
use crate::draft::guided::{self, Guide};
use crate::motion::{Flow, Look};

/// Radius, in working samples, and flatness of the filter that brings evidence to the edges.
const RADIUS: usize = 8;
const FLAT: f32 = 4e-4;
/// Seconds for depth to follow a change.
const DEPTH_SECONDS: f32 = 0.15;

/// State of a shot after one of its frames.
#[derive(Debug)]
pub(super) struct Track {
    look: Look,
    evidence: Evidence,
    depth: Plane,
}

impl Track {
    /// The state at the first of `opening`, informed by the rest: evidence is gathered backwards
    /// in time, from the last to the first. `None` without frames.
    pub(super) fn start(opening: &[&Look], seconds: f32) -> Option<Self> {
        let first = (*opening.first()?).clone();
        let (width, height) = (first.small.luma.width(), first.small.luma.height());
        let mut evidence = Evidence::none(width, height);
        for pair in opening.windows(2).rev() {
            let flow = pair[0].flow_to(pair[1]);
            evidence =
                Reading::of(&pair[0].pyramid, &pair[1].pyramid, &flow).update(&evidence, seconds);
        }
        let depth = target(&evidence, &first);
        Some(Self { look: first, evidence, depth })
    }

    pub(super) fn flow_to(&self, look: &Look) -> Flow {
        look.flow_to(&self.look)
    }

    pub(super) fn is_cut(&self, look: &Look, flow: &Flow) -> bool {
        look.is_cut_after(&self.look, flow, 1.0)
    }

    /// Moves on to the next frame of the shot.
    pub(super) fn advance(&mut self, look: Look, flow: &Flow, seconds: f32) {
        let reading = Reading::of(&look.pyramid, &self.look.pyramid, flow);
        self.evidence = reading.update(&self.evidence, seconds);
        let target = target(&self.evidence, &look);
        let follow = 1.0 - (-seconds / DEPTH_SECONDS).exp();
        let mut depth = reading.motion.carry(&self.depth);
        for (i, depth) in depth.data_mut().iter_mut().enumerate() {
            // What was not there before has no past to be smoothed with.
            let follow = follow + (1.0 - follow) * 0.7 * (1.0 - reading.motion.trust.data()[i]);
            *depth += (target.data()[i] - *depth) * follow;
        }
        self.depth = depth;
        self.look = look;
    }

    /// The depth of the current frame, at its full size.
    pub(super) fn depth(&self, frame: &Frame) -> Plane {
        guided::upsample(&self.depth, &self.look.small, frame)
    }
}

/// The depth that `evidence` would give if nothing were known of the frames before.
fn target(evidence: &Evidence, look: &Look) -> Plane {
    let guide = Guide::of(&look.small, RADIUS, FLAT);
    // Where there is no texture the level says little, and the surroundings say more.
    let weight = Plane::new(
        evidence.level.width(),
        evidence.level.height(),
        evidence.confidence.data().iter().map(|c| 0.05 + c).collect(),
    );
    let weighted = guided::product(&evidence.level, &weight);
    let (mut level, weight) = rayon::join(|| guide.filter(&weighted), || guide.filter(&weight));
    for (level, weight) in level.data_mut().iter_mut().zip(weight.data()) {
        *level = (*level / weight.max(0.02)).clamp(0.0, 1.0);
    }
    cues::depth(&level)
}
