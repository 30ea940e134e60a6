//! A shot's frames on their way to depth: those that the network has seen, and those between them.

use std::collections::VecDeque;

use parallax_frame::Frame;

use super::affine::Affine;
use super::alignment::Alignment;
use super::between::{Side, mixed};
use super::options::ChainSteps;
use crate::motion::Field;
use crate::{Error, Plane};

/// A frame without settled depth.
#[derive(Debug)]
struct Waiting {
    frame: Frame,
    /// Whether the network sees it.
    key: bool,
    /// What the network said.
    plane: Option<Plane>,
    motion: Option<Motion>,
}

/// Motion between a frame and the one before it.
#[derive(Debug)]
pub(super) struct Motion {
    /// Where its things are in the frame before.
    pub(super) back: Field,
    /// Where the things of the frame before are in it, if that is needed.
    pub(super) ahead: Option<Field>,
}

/// The frames of a shot that wait for depth, and the depth of the last that does not.
#[derive(Debug)]
pub(super) struct Queue {
    frames: VecDeque<Waiting>,
    alignment: Alignment,
}

impl Queue {
    /// For a shot that has not begun; planes are not aligned if the network gives none that need it.
    pub(super) fn new(steps: ChainSteps, seconds_per_frame: f32) -> Self {
        Self { frames: VecDeque::new(), alignment: Alignment::new(steps, seconds_per_frame) }
    }

    pub(super) fn push(&mut self, frame: Frame, key: bool, motion: Option<Motion>) {
        self.frames.push_back(Waiting { frame, key, plane: None, motion });
    }

    /// The last frame, if the network has not seen it; it will.
    pub(super) fn last_unseen(&mut self) -> Option<&Frame> {
        let last = self.frames.back_mut().filter(|last| !last.key)?;
        last.key = true;
        Some(&last.frame)
    }

    /// As [`Alignment::recentre`].
    pub(super) fn recentre(&mut self) -> Affine {
        self.alignment.recentre()
    }

    /// Whether frames wait.
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Gives `planes` to the earliest frames that the network has seen and that have none.
    ///
    /// # Errors
    /// `Failed` when there are more planes than such frames.
    pub(super) fn give(&mut self, planes: Vec<Plane>) -> Result<(), Error> {
        let mut open =
            self.frames.iter_mut().filter(|waiting| waiting.key && waiting.plane.is_none());
        for plane in planes {
            let Some(waiting) = open.next() else {
                return Err(Error::Failed("more planes of depth than frames".to_owned()));
            };
            waiting.plane = Some(plane);
        }
        Ok(())
    }

    /// The earliest frames whose depth is settled now: up to the next one that the network has answered.
    pub(super) fn next(&mut self) -> Vec<(Frame, Plane)> {
        let Some(at) = self.frames.iter().position(|waiting| waiting.key) else {
            return Vec::new();
        };
        let Some(plane) = self.frames[at].plane.take() else { return Vec::new() };
        let mut run: Vec<Waiting> = self.frames.drain(..=at).collect();
        let before = self.alignment.last().cloned();
        let back = back_to_first(&run);
        let after = self.alignment.next(plane, back.last().and_then(Option::as_ref), run.len());
        let Some(key) = run.pop() else { return Vec::new() };
        let mut out = Vec::with_capacity(at + 1);
        if let Some(before) = before {
            let ahead = ahead_to_last(&run, &key);
            let total = (run.len() + 1) as f32;
            let fields = back.into_iter().zip(ahead).enumerate();
            for (waiting, (i, (back, ahead))) in run.into_iter().zip(fields) {
                let side = |depth, field: Option<Field>, share| {
                    field.map(|field| Side { depth, field, share })
                };
                let near = (i + 1) as f32 / total;
                let sides = (side(&before, back, 1.0 - near), side(&after, ahead, near));
                let depth = match sides {
                    (Some(a), Some(b)) => mixed([a, b]),
                    _ => after.clone(),
                };
                out.push((waiting.frame, depth));
            }
        }
        out.push((key.frame, after));
        out
    }
}

/// For each of `run`, where its things are in the frame before the first of them.
fn back_to_first(run: &[Waiting]) -> Vec<Option<Field>> {
    let mut out: Vec<Option<Field>> = Vec::with_capacity(run.len());
    for waiting in run {
        let own = waiting.motion.as_ref().map(|motion| &motion.back);
        let field = match (own, out.last()) {
            (Some(own), Some(before)) => before.as_ref().map(|before| own.then(before)),
            (own, _) => own.cloned(),
        };
        out.push(field);
    }
    out
}

/// For each of `run`, where its things are in `last`, which follows them.
fn ahead_to_last(run: &[Waiting], last: &Waiting) -> Vec<Option<Field>> {
    let mut out: Vec<Option<Field>> = Vec::with_capacity(run.len());
    let followers = run.iter().skip(1).chain([last]);
    for follower in followers.collect::<Vec<_>>().into_iter().rev().take(run.len()) {
        let own = follower.motion.as_ref().and_then(|motion| motion.ahead.as_ref());
        let field = match (own, out.last()) {
            (Some(own), Some(after)) => after.as_ref().map(|after| own.then(after)),
            (own, _) => own.cloned(),
        };
        out.push(field);
    }
    out.reverse();
    out
}
