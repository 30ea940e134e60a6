//! What is remembered of an object: a bounded number of frames, however long the clip is.

use candle_core::Tensor;

use crate::config::Memory as Config;
use crate::masks::Mask;
use crate::memory::{Pointer, Remembered};

/// One frame.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) frame: usize,
    /// (1, h w, channels of memory), as long as it may be looked at.
    pub(crate) cells: Option<Tensor>,
    /// (1, C)
    pub(crate) pointer: Tensor,
    /// The mask of a frame that was pointed at: it is not made again.
    pub(crate) mask: Option<Mask>,
}

impl Kept {
    fn remembered(&self, ago: Option<usize>) -> Option<Remembered<'_>> {
        self.cells.as_ref().map(|cells| Remembered { cells, ago })
    }

    fn pointer(&self, ago: usize) -> Pointer<'_> {
        Pointer { pointer: &self.pointer, ago }
    }
}

/// All that is remembered of an object.
#[derive(Debug, Default)]
pub(crate) struct Bank {
    /// Frames in which it was pointed at, in the order in which that was done.
    prompted: Vec<Kept>,
    /// Others.
    followed: Vec<Kept>,
}

/// Where the clip is, and where it goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) frame: usize,
    pub(crate) backward: bool,
}

impl Now {
    /// The frame so many before, in the direction of going.
    fn before(self, ago: usize) -> Option<usize> {
        if self.backward { self.frame.checked_add(ago) } else { self.frame.checked_sub(ago) }
    }

    /// How many before it a frame was; `None` of one that is still to come.
    fn ago(self, frame: usize) -> Option<usize> {
        if self.backward { frame.checked_sub(self.frame) } else { self.frame.checked_sub(frame) }
    }
}

fn at(kept: &[Kept], frame: usize) -> Option<&Kept> {
    kept.iter().find(|one| one.frame == frame)
}

impl Bank {
    /// Whether it was ever pointed at.
    pub(crate) fn is_empty(&self) -> bool {
        self.prompted.is_empty()
    }

    /// The mask of a frame in which it was pointed at.
    pub(crate) fn mask(&self, frame: usize) -> Option<&Mask> {
        at(&self.prompted, frame)?.mask.as_ref()
    }

    /// Keeps a frame, in place of what is known of it.
    pub(crate) fn keep(&mut self, kept: Kept) {
        let among = if kept.mask.is_some() { &mut self.prompted } else { &mut self.followed };
        match among.iter_mut().find(|one| one.frame == kept.frame) {
            Some(one) => *one = kept,
            None => among.push(kept),
        }
    }

    /// Lets go what no later frame looks at, neither on the way nor from where the object was first pointed at, back.
    pub(crate) fn forget(&mut self, now: Now, config: &Config) {
        let first = self.prompted.first().map_or(now.frame, |one| one.frame);
        let far = |frame: usize| now.frame.abs_diff(frame).min(first.abs_diff(frame));
        self.followed.retain(|one| far(one.frame) < config.pointers.max(config.frames));
        for one in self.followed.iter_mut().filter(|one| far(one.frame) >= config.frames) {
            one.cells = None;
        }
    }

    /// Frames that are looked at for `now`: those that were pointed at and are nearest, and the last others.
    pub(crate) fn frames(&self, now: Now, config: &Config) -> Vec<Remembered<'_>> {
        let (near, far) = self.nearest(now.frame, config.prompted);
        let prompted = near.into_iter().filter_map(|one| one.remembered(None));
        let others = (1..config.frames).rev().filter_map(|ago| {
            let frame = now.before(ago)?;
            let far = || far.iter().copied().find(|one| one.frame == frame);
            at(&self.followed, frame).or_else(far).and_then(|one| one.remembered(Some(ago)))
        });
        prompted.chain(others).collect()
    }

    /// Pointers that are looked at for `now` in a clip of which `longest` frames count: from all frames before in which it
    /// was pointed at, and from the last others.
    pub(crate) fn pointers(&self, now: Now, longest: usize) -> Vec<Pointer<'_>> {
        let prompted = self.prompted.iter();
        let prompted = prompted.filter_map(|one| Some(one.pointer(now.ago(one.frame)?)));
        let others =
            (1..longest).filter_map(|ago| Some(at(&self.followed, now.before(ago)?)?.pointer(ago)));
        prompted.chain(others).collect()
    }

    /// At most so many of the frames in which it was pointed at, and the others: the last before `frame`, the next
    /// from it on, and what is nearest besides.
    fn nearest(&self, frame: usize, most: Option<usize>) -> (Vec<&Kept>, Vec<&Kept>) {
        let mut rest: Vec<&Kept> = self.prompted.iter().collect();
        let Some(most) = most.filter(|&most| rest.len() > most) else { return (rest, Vec::new()) };
        let before = rest.iter().map(|one| one.frame).filter(|&at| at < frame).max();
        let after = rest.iter().map(|one| one.frame).filter(|&at| at >= frame).min();
        let mut near = Vec::new();
        for chosen in [before, after].into_iter().flatten() {
            near.extend(rest.extract_if(.., |one| one.frame == chosen));
        }
        let mut by_distance: Vec<usize> = (0..rest.len()).collect();
        by_distance.sort_by_key(|&i| rest[i].frame.abs_diff(frame));
        by_distance.truncate(most.saturating_sub(near.len()));
        near.extend(by_distance.iter().map(|&i| rest[i]));
        let far =
            self.prompted.iter().filter(|one| near.iter().all(|near| near.frame != one.frame));
        let far = far.collect();
        (near, far)
    }

    #[cfg(test)]
    pub(crate) fn replace(&mut self, frame: usize, (cells, pointer): &(Tensor, Tensor)) {
        let all = self.prompted.iter_mut().chain(&mut self.followed);
        for one in all.filter(|one| one.frame == frame) {
            assert!(one.cells.is_some(), "a frame at hand is remembered");
            (one.cells, one.pointer) = (Some(cells.clone()), pointer.clone());
        }
    }

    /// Frames of which cells, and of which pointers are held.
    pub(crate) fn held(&self) -> (usize, usize) {
        let all = || self.prompted.iter().chain(&self.followed);
        (all().filter(|one| one.cells.is_some()).count(), all().count())
    }
}
