//! DepthCrafter as a depth estimator: shot by shot, window by window, while frames still come.
//!
//! Frames around the clip go through it alike, so that a shot which passes the clip's borders has the
//! depth, and the range of it, that it has as a whole. A shot that ends before the clip begins is given up.

use std::collections::VecDeque;
use std::sync::Arc;

use parallax_frame::Frame;
use parallax_stereo::{DepthEstimator, Error, Plane, Rgb, Run, Shots, Stage};

use super::desk::Desk;
use super::failure::unless_cancelled;
use super::flow::{Flow, Next};
use super::picture;
use super::scene::Scene;
use crate::noise::Field;
use crate::plan::Plan;
use crate::range::Range;
use crate::size::Size;

/// Fields of noise, so that the stages do not share theirs.
const DEPTH_NOISE: u64 = 0;
const AUGMENTATION_NOISE: u64 = 1;

/// Frames with their depth.
type Known = Vec<(Frame, Plane)>;

/// A clip in progress.
pub(super) struct DepthCrafter {
    desk: Arc<Desk>,
    run: Run,
    rgb: Rgb,
    /// Size at which depth is estimated.
    size: Size,
    plan: Plan,
    shots: Shots,
    shot: Shot,
    /// Whether the shot has all its frames, and whether its end is given out.
    complete: bool,
    over: bool,
    /// The first frame of the next shot, which waits for the end of this one.
    next: Option<(Frame, Place)>,
    /// Frames from before the clip whose depth is not known yet.
    before: u64,
    /// Frames of the clip whose depth is not known yet.
    owed: u64,
    /// Frames of the clip that came in.
    taken: u64,
}

/// Where a frame lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    Within,
    After,
}

/// The shot in progress.
#[derive(Default)]
struct Shot {
    /// The clip's number of its first frame; negative where the shot begins before the clip.
    begins: i64,
    /// Frames whose depth is not known yet, the first of them frame `gone` of the shot.
    frames: VecDeque<Frame>,
    gone: usize,
    flow: Flow,
    range: Option<Range>,
}

impl DepthCrafter {
    pub(super) fn new(desk: Arc<Desk>, run: &Run, scene: Scene) -> Self {
        let Scene { rgb, depth_size: size, plan } = scene;
        Self {
            desk,
            run: run.clone(),
            rgb,
            size,
            plan,
            shots: Shots::default(),
            shot: Shot::default(),
            complete: false,
            over: false,
            next: None,
            before: 0,
            owed: 0,
            taken: 0,
        }
    }

    fn take(&mut self, frame: Frame, place: Place) -> Result<Known, Error> {
        if self.shots.begins(&frame) {
            self.complete = true;
            self.next = Some((frame, place));
        } else {
            self.add(frame, place);
        }
        self.more()
    }

    fn add(&mut self, frame: Frame, place: Place) {
        match place {
            Place::Before => {
                self.before += 1;
                self.shot.begins -= 1;
            }
            Place::Within => {
                self.owed += 1;
                self.taken += 1;
            }
            Place::After => {}
        }
        self.shot.frames.push_back(frame);
    }

    fn begin_shot(&mut self) {
        self.shot = Shot { begins: self.taken as i64, ..Shot::default() };
        (self.complete, self.over) = (false, false);
        if let Some((frame, place)) = self.next.take() {
            self.add(frame, place);
        }
    }

    /// Whether anybody needs more depth of the shot. Of one that ends before the clip begins nobody does,
    /// nor of frames after the clip for their own sake.
    fn is_needed(&self) -> bool {
        self.owed > 0 || (self.before > 0 && !self.complete)
    }

    /// Frames of a shot that nobody needs, so that they are counted: their depth is no one's.
    fn give_up(&mut self) -> Known {
        let count = self.shot.frames.len().min(self.before as usize);
        self.before -= count as u64;
        self.shot.frames.drain(..count).map(|frame| (frame, Plane::filled(8, 8, 0.5))).collect()
    }

    /// [`Desk::piece`] on the shot in progress.
    fn piece<T>(
        &mut self,
        mut work: impl FnMut(&mut Self, bool) -> candle_core::Result<T>,
    ) -> Result<T, Error> {
        let (desk, run) = (Arc::clone(&self.desk), self.run.clone());
        let first = self.shot.begins;
        desk.piece(&run, (Stage::Depth, first), |wide| work(self, wide))
    }

    /// The next window of depth that can be denoised, if any.
    fn window(&mut self, wide: bool) -> candle_core::Result<Option<Next>> {
        let Self { shot, desk, rgb, size, plan, run, complete, .. } = self;
        let _turn = desk.turn();
        let mut check = || unless_cancelled(&run.cancel);
        let total = shot.gone + shot.frames.len();
        let Some(next) = shot.flow.next(total, *complete, plan.window) else { return Ok(None) };
        let stage = desk.depth(plan, wide)?;
        let field = |which: u64| Field::new(run.seed).apart(which);
        if let Next::Window { length, .. } = next {
            let (frames, gone) = (&shot.frames, shot.gone);
            let mut frame =
                |i: usize| picture::working(&rgb.planes(&frames[i - gone]), *size, &desk.device);
            let end = shot.flow.start() + length;
            let mut noise = field(AUGMENTATION_NOISE);
            shot.flow.encode(&stage, end, &mut frame, &mut noise, &mut check)?;
        }
        shot.flow.step(&stage, next, &mut field(DEPTH_NOISE), &mut check)?;
        Ok(Some(next))
    }

    /// All depth that can be decoded, at working size.
    fn decode(&mut self, ended: bool) -> Result<Vec<Plane>, Error> {
        let mut out = Vec::new();
        loop {
            let next = self.piece(|it, wide| it.decode_next(ended, wide))?;
            let Some(planes) = next else { return Ok(out) };
            out.extend(planes);
            let known = (out.len() as u64).saturating_sub(self.before).min(self.owed);
            self.run.watch.tell(Stage::Depth, self.taken - self.owed + known);
        }
    }

    fn decode_next(&mut self, ended: bool, wide: bool) -> candle_core::Result<Option<Vec<Plane>>> {
        let _turn = self.desk.turn();
        let mut check = || unless_cancelled(&self.run.cancel);
        let stage = self.desk.depth(&self.plan, wide)?;
        let Some(depth) = self.shot.flow.decode(&stage, ended, &mut check)? else {
            return Ok(None);
        };
        let mut out = Vec::new();
        for frame in 0..depth.dim(0)? {
            out.extend(picture::planes(&depth.get(frame)?)?);
        }
        Ok(Some(out))
    }

    /// The frames that this is the depth of, within the shot's range.
    fn give(&mut self, depth: Vec<Plane>) -> Result<Known, Error> {
        if depth.is_empty() {
            return Ok(Vec::new());
        }
        let range = Range::widened(self.shot.range, &depth);
        let count = depth.len();
        let mut given = Vec::with_capacity(count);
        for (i, mut depth) in depth.into_iter().enumerate() {
            let range = range.at((i + 1) as f32 / count as f32);
            range.apply(&mut depth);
            let Some(frame) = self.shot.frames.pop_front() else {
                return Err(Error::Failed("more depth than frames".into()));
            };
            self.shot.gone += 1;
            if self.before > 0 {
                self.before -= 1;
            } else if self.owed > 0 {
                self.owed -= 1;
                #[cfg(test)]
                self.desk.seen.lock().unwrap().push((frame.pts, depth.clone(), range));
            }
            given.push((frame, depth));
        }
        self.shot.range = Some(range.end());
        Ok(given)
    }
}

impl std::fmt::Debug for DepthCrafter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DepthCrafter").field("size", &self.size).finish_non_exhaustive()
    }
}

impl DepthEstimator for DepthCrafter {
    fn lead_in(&mut self, frame: Frame) -> Result<Known, Error> {
        self.take(frame, Place::Before)
    }

    fn push(&mut self, frame: Frame) -> Result<Known, Error> {
        self.take(frame, Place::Within)
    }

    fn lead_out(&mut self, frame: Frame) -> Result<Known, Error> {
        self.take(frame, Place::After)
    }

    fn more(&mut self) -> Result<Known, Error> {
        if self.over {
            self.begin_shot();
        }
        while self.is_needed() {
            let Some(next) = self.piece(Self::window)? else { break };
            self.over = !matches!(next, Next::Window { last: false, .. });
            let depth = self.decode(self.over)?;
            let given = self.give(depth)?;
            if self.over || !given.is_empty() {
                return Ok(given);
            }
        }
        self.over = self.complete;
        Ok(if self.complete { self.give_up() } else { Vec::new() })
    }

    fn finish(&mut self) -> Result<Known, Error> {
        self.complete = true;
        self.more()
    }

    fn begins_shot(&self, _pts: i64) -> Option<bool> {
        // Told when the one before it ends.
        Some(false)
    }

    fn ends_shot(&self) -> bool {
        self.over
    }

    fn looks_ahead_in_windows(&self) -> bool {
        true
    }
}
