//! The network over a clip: shot by shot, and in each from where something is pointed at.

use std::ops::Range;

use parallax_frame::Frame;
use parallax_sam2::{self as sam2, Features, Scene, Tracked, Tracker, What, at_size};
use parallax_serving::Failure;
use tokio_util::sync::CancellationToken;

use super::clip::Clip;
use super::found::{Found, Store};
use super::request::{Direction, Hint, Pointed};
use super::rle::Rle;
use crate::segmenter::{Segmenter, failed};

/// Frames that are held at a time where a clip is gone through from its end: decoding knows one direction.
const HELD: usize = 16;
/// Bytes of them at most, in samples of the clip.
const HELD_BYTES: usize = 256 << 20;

/// What is followed, and how.
pub(crate) struct Follow<'a> {
    pub(crate) clip: &'a Clip<'a>,
    pub(crate) segmenter: &'a Segmenter,
    /// The numbers of the things.
    pub(crate) ids: &'a [u32],
    pub(crate) hints: &'a [Hint],
    pub(crate) direction: Direction,
    pub(crate) across_cuts: bool,
    pub(crate) cancel: &'a CancellationToken,
    /// Is told how many frames were seen, of how many.
    pub(crate) report: &'a dyn Fn(u64, u64),
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sum {
    /// Frames that were seen, each way by itself.
    pub(crate) seen: u64,
    /// The most frames that were remembered at a time, over all things.
    pub(crate) remembered: usize,
    /// Shots in which something was followed.
    pub(crate) shots: usize,
}

/// A shot, and what is pointed at in it.
struct Shot<'a> {
    frames: Range<usize>,
    hints: Vec<&'a Hint>,
}

impl<'a> Shot<'a> {
    /// The frames in which a thing is pointed at by itself.
    fn stands(&self, object: usize) -> impl Iterator<Item = usize> {
        let of = move |hint: &&&Hint| hint.object == object && !hint.corrects;
        self.hints.iter().filter(of).map(|hint| hint.frame)
    }

    fn objects(&self) -> Vec<usize> {
        let mut objects: Vec<usize> = self.hints.iter().map(|hint| hint.object).collect();
        objects.sort_unstable();
        objects.dedup();
        objects
    }

    /// From where each thing is followed onward, and from where back.
    fn starts(&self, direction: Direction) -> [Vec<(usize, usize)>; 2] {
        let from = |of: &dyn Fn(usize) -> Option<usize>| -> Vec<(usize, usize)> {
            self.objects().into_iter().filter_map(|object| Some((object, of(object)?))).collect()
        };
        let first = |object| self.stands(object).min();
        let last = |object| self.stands(object).max();
        match direction {
            Direction::Forward => [from(&first), Vec::new()],
            Direction::Backward => [Vec::new(), from(&last)],
            Direction::Both => [from(&first), from(&first)],
        }
    }

    /// Frames that are seen on the way.
    fn work(&self, direction: Direction) -> u64 {
        let [onward, back] = self.starts(direction);
        let onward = onward.iter().map(|(_, at)| *at).min().map_or(0, |at| self.frames.end - at);
        let back = back.iter().map(|(_, at)| *at).max().map_or(0, |at| at + 1 - self.frames.start);
        (onward + back) as u64
    }
}

impl Follow<'_> {
    /// Follows everything, into `store`.
    ///
    /// # Errors
    /// `Invalid`, naming a field, for what does not lie in the clip; `Cancelled`; `Internal`.
    pub(crate) fn run(&self, store: &mut Store) -> Result<Sum, Failure> {
        for hint in self.hints {
            hint.inside(self.clip.frames(), self.clip.size())?;
        }
        let shots = self.shots()?;
        let total = shots.iter().map(|shot| shot.work(self.direction)).sum();
        let mut sum = Sum { shots: shots.len(), ..Sum::default() };
        for shot in &shots {
            self.shot(shot, (&mut sum, total), store)?;
        }
        Ok(sum)
    }

    fn shots(&self) -> Result<Vec<Shot<'_>>, Failure> {
        let whole = 0..self.clip.frames();
        let parts = if self.across_cuts { vec![whole] } else { self.clip.shots()? };
        let shot = |frames: Range<usize>| {
            let hints = self.hints.iter().filter(|hint| frames.contains(&hint.frame)).collect();
            Shot { frames, hints }
        };
        let shots: Vec<Shot<'_>> =
            parts.into_iter().map(shot).filter(|shot| !shot.hints.is_empty()).collect();
        for shot in &shots {
            let alone = |hint: &&&Hint| hint.corrects && shot.stands(hint.object).next().is_none();
            if let Some(hint) = shot.hints.iter().find(alone) {
                let (from, to) = (shot.frames.start, shot.frames.end - 1);
                let message = format!(
                    "frame {}: in its shot, frames {from} to {to}, the object is not pointed at otherwise",
                    hint.frame
                );
                return Err(Failure::field(format!("{}.corrects", hint.field), message));
            }
        }
        Ok(shots)
    }

    fn shot(
        &self,
        shot: &Shot<'_>,
        (sum, total): (&mut Sum, u64),
        store: &mut Store,
    ) -> Result<(), Failure> {
        let network = self.segmenter.network();
        let mut tracker = Tracker::new(network, Some(self.clip.frames())).map_err(failed)?;
        self.point(shot, &mut tracker)?;
        let [onward, back] = shot.starts(self.direction);
        let mut step = |frame: usize,
                        picture: &Frame,
                        starts: &[(usize, usize)],
                        backward: bool| {
            let reached = |at: usize| if backward { frame <= at } else { frame >= at };
            let others: Vec<usize> =
                starts.iter().filter(|(_, at)| reached(*at)).map(|(object, _)| *object).collect();
            let corrects = |hint: &&&Hint| {
                hint.corrects && hint.frame == frame && others.contains(&hint.object)
            };
            let hints = shot.hints.iter().filter(corrects);
            let hints = hints.map(|hint| self.hint(hint)).collect::<Result<Vec<_>, _>>()?;
            let features = self.look(picture)?;
            let scene = Scene { frame, features: &features, backward };
            let tracked = tracker.step(scene, &hints, &others, &mut parallax_nn::ignore);
            for one in tracked.map_err(failed)? {
                self.found(frame, &one, store)?;
            }
            sum.seen += 1;
            sum.remembered = sum.remembered.max(tracker.held().1);
            (self.report)(sum.seen, total);
            Ok::<(), Failure>(())
        };
        if let Some(start) = onward.iter().map(|(_, at)| *at).min() {
            let frames = start..shot.frames.end;
            for (frame, number) in self.clip.part(frames.clone())?.zip(frames) {
                step(number, &frame?, &onward, false)?;
            }
        }
        if let Some(start) = back.iter().map(|(_, at)| *at).max() {
            let held = (HELD_BYTES / self.clip.format().frame_bytes().max(1)).clamp(1, HELD);
            let mut end = start + 1;
            while end > shot.frames.start {
                let from = end.saturating_sub(held).max(shot.frames.start);
                let part = self.clip.part(from..end)?.collect::<Result<Vec<_>, _>>()?;
                for (frame, number) in part.iter().zip(from..end).rev() {
                    step(number, frame, &back, true)?;
                }
                end = from;
            }
        }
        Ok(())
    }

    /// Looks at the frames in which things are pointed at by themselves, before any is followed.
    fn point(&self, shot: &Shot<'_>, tracker: &mut Tracker<'_>) -> Result<(), Failure> {
        let mut frames: Vec<usize> =
            shot.hints.iter().filter(|hint| !hint.corrects).map(|hint| hint.frame).collect();
        frames.sort_unstable();
        frames.dedup();
        for number in frames {
            let there = |hint: &&&Hint| hint.frame == number && !hint.corrects;
            let hints = shot.hints.iter().filter(there).map(|hint| self.hint(hint));
            let hints = hints.collect::<Result<Vec<_>, _>>()?;
            let frame = self.clip.part(number..number + 1)?.next();
            let frame = frame.ok_or_else(|| Failure::internal("a frame is gone"))??;
            let features = self.look(&frame)?;
            let scene = Scene { frame: number, features: &features, backward: false };
            tracker.step(scene, &hints, &[], &mut parallax_nn::ignore).map_err(failed)?;
        }
        Ok(())
    }

    fn look(&self, frame: &Frame) -> Result<Features, Failure> {
        if self.cancel.is_cancelled() {
            return Err(Failure::cancelled());
        }
        let picture = self.clip.picture(frame)?;
        self.segmenter.network().look(&picture).map_err(failed)
    }

    /// As the network takes it.
    fn hint(&self, hint: &Hint) -> Result<sam2::Hint, Failure> {
        let size = self.clip.size();
        let side = self.segmenter.network().config().image_size;
        let what = match &hint.pointed {
            Pointed::Prompt(prompt) => What::Pointed(prompt.in_square(size, side)),
            Pointed::Mask(mask) => {
                let inside = mask.samples().into_iter().map(|sample| sample > 0);
                What::Drawn(sam2::Drawn::new(size, inside).map_err(failed)?)
            }
        };
        Ok(sam2::Hint { object: hint.object, what, corrects: hint.corrects })
    }

    fn found(&self, frame: usize, one: &Tracked, store: &mut Store) -> Result<(), Failure> {
        let size = self.clip.size();
        let found = Found {
            frame,
            object: self.ids[one.object],
            score: f64::from(one.mask.score),
            object_score: f64::from(one.mask.presence),
            mask: Rle::of(&at_size(&one.mask, size), size),
        };
        store.push(one.object, &found)
    }
}
