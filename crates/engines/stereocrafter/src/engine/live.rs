//! Pairs while frames still come: shot by shot, window by window, chunk by chunk.
//!
//! Frames around the clip go through depth alone, so that a shot which passes the clip's borders has the
//! depth, and the range of it, that it has as a whole.

use std::collections::VecDeque;
use std::sync::Arc;

use candle_core::Tensor;
use parallax_frame::{Frame, VideoFormat};
use parallax_stereo::{
    Bars, Clip, Error, Plane, Rgb, Run, Session, Shots, Stage, Stager, StereoPair, View,
    ViewSynthesis, blend,
};

use super::desk::Desk;
use super::failure::{told, unless_cancelled};
use super::flow::{Flow, Next};
use super::picture;
use crate::noise::Field;
use crate::plan::Plan;
use crate::range::Range;
use crate::size::Size;
use crate::strip::Strip;

/// Fields of noise, so that the stages do not share theirs.
const DEPTH_NOISE: u64 = 0;
const AUGMENTATION_NOISE: u64 = 1;
const INPAINT_NOISE: u64 = 2;

/// A clip in progress.
pub(super) struct Live {
    desk: Arc<Desk>,
    format: Arc<VideoFormat>,
    run: Run,
    rgb: Rgb,
    /// Size at which depth is estimated.
    depth_size: Size,
    plan: Plan,
    synthesis: ViewSynthesis,
    stager: Stager,
    shots: Shots,
    shot: Shot,
    /// Frames from before the clip whose depth is not known yet.
    before: u64,
    /// Frames of the clip whose depth is not known yet.
    owed: u64,
    done: Done,
}

/// Frames of the clip that have passed each stage, and those that came in.
#[derive(Debug, Clone, Copy, Default)]
struct Done {
    taken: u64,
    warp: u64,
    inpaint: u64,
}

/// The shot in progress.
struct Shot {
    /// The clip's number of its first frame; negative where the shot begins before the clip.
    begins: i64,
    /// Frames whose depth is not known yet, the first of them frame `gone` of the shot.
    frames: VecDeque<Frame>,
    gone: usize,
    flow: Flow,
    range: Option<Range>,
    strip: Strip,
    /// Warped, not inpainted.
    views: VecDeque<(Frame, View, Bars)>,
}

impl Default for Shot {
    fn default() -> Self {
        Self {
            begins: 0,
            frames: VecDeque::new(),
            gone: 0,
            flow: Flow::default(),
            range: None,
            strip: Strip::new(0),
            views: VecDeque::new(),
        }
    }
}

impl Live {
    pub(super) fn new(
        desk: Arc<Desk>,
        clip: &Clip,
        run: &Run,
        rgb: Rgb,
        (depth_size, plan): (Size, Plan),
    ) -> Result<Self, Error> {
        Ok(Self {
            desk,
            format: Arc::clone(&clip.format),
            synthesis: ViewSynthesis::new(&clip.format, run.geometry)?
                .with_comfort(run.staging.comfort),
            stager: Stager::new(clip, run)?,
            run: run.clone(),
            rgb,
            depth_size,
            plan,
            shots: Shots::default(),
            shot: Shot::default(),
            before: 0,
            owed: 0,
            done: Done::default(),
        })
    }

    /// Does what can be done with the frames of the shot, all of them once it has `ended`, but for those
    /// after the clip that nothing else needs.
    fn work(&mut self, ended: bool) -> Result<Vec<StereoPair>, Error> {
        let mut pairs = Vec::new();
        while self.before + self.owed > 0 {
            let next = self.piece(Stage::Depth, |live, wide| live.window(ended, wide))?;
            let Some(next) = next else { return Ok(pairs) };
            let last = !matches!(next, Next::Window { last: false, .. });
            let depth = self.decode(last)?;
            self.warp(depth)?;
            self.inpaint(last, &mut pairs)?;
        }
        Ok(pairs)
    }

    /// Does what is left of the shot and makes room for another.
    fn end_shot(&mut self) -> Result<Vec<StereoPair>, Error> {
        let mut pairs = Vec::new();
        if self.owed > 0 {
            pairs = self.work(true)?;
        } else {
            // Of a shot that ends before the clip begins, nothing is needed any more.
            self.before = self.before.saturating_sub(self.shot.frames.len() as u64);
        }
        self.inpaint(true, &mut pairs)?;
        self.shot = Shot { begins: self.done.taken as i64, ..Shot::default() };
        if let Some(shot) = self.stager.end_shot() {
            self.run.watch.tell_shot(&shot);
        }
        Ok(pairs)
    }

    /// [`Desk::piece`] on the shot in progress.
    fn piece<T>(
        &mut self,
        stage: Stage,
        mut work: impl FnMut(&mut Self, bool) -> candle_core::Result<T>,
    ) -> Result<T, Error> {
        let (desk, run) = (Arc::clone(&self.desk), self.run.clone());
        let first = self.shot.begins;
        desk.piece(&run, (stage, first), |wide| work(self, wide))
    }

    /// The next window of depth that can be denoised, if any.
    fn window(&mut self, ended: bool, wide: bool) -> candle_core::Result<Option<Next>> {
        let Self { shot, desk, rgb, depth_size, plan, run, .. } = self;
        let _turn = desk.turn();
        let mut check = || unless_cancelled(&run.cancel);
        let total = shot.gone + shot.frames.len();
        let Some(next) = shot.flow.next(total, ended, plan.window) else { return Ok(None) };
        let stage = desk.depth(plan, wide)?;
        let field = |which: u64| Field::new(run.seed).apart(which);
        if let Next::Window { length, .. } = next {
            let (frames, gone) = (&shot.frames, shot.gone);
            let mut frame = |i: usize| {
                picture::working(&rgb.planes(&frames[i - gone]), *depth_size, &desk.device)
            };
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
            let next = self.piece(Stage::Depth, |live, wide| live.decode_next(ended, wide))?;
            let Some(planes) = next else { return Ok(out) };
            out.extend(planes);
            let known = (out.len() as u64).saturating_sub(self.before).min(self.owed);
            self.run.watch.tell(Stage::Depth, self.done.taken - self.owed + known);
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

    /// Takes the frames whose depth this is to the other eye.
    fn warp(&mut self, mut depth: Vec<Plane>) -> Result<(), Error> {
        if depth.is_empty() {
            return Ok(());
        }
        let range = Range::widened(self.shot.range, &depth);
        let size = (self.format.width as usize, self.format.height as usize);
        let count = depth.len();
        for (i, depth) in depth.iter_mut().enumerate() {
            range.at((i + 1) as f32 / count as f32).apply(depth);
        }
        for i in 0..count {
            if self.run.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let Some(left) = self.shot.frames.pop_front() else {
                return Err(Error::Failed("more depth than frames".into()));
            };
            self.shot.gone += 1;
            if self.before + self.owed == 0 {
                continue;
            }
            let Some(stand) = self.stager.next(depth[i..].iter()) else { continue };
            if self.before > 0 {
                self.before -= 1;
                self.stager.uncount();
                self.shot.strip = Strip::new(self.shot.gone);
                continue;
            }
            self.owed -= 1;
            #[cfg(test)]
            {
                let range = range.at((i + 1) as f32 / count as f32);
                self.desk.seen.lock().unwrap().push((left.pts, depth[i].clone(), range));
            }
            self.synthesis.set_convergence(stand.convergence);
            let view = self.synthesis.render(&left, &depth[i])?;
            let mut planes: Vec<Vec<u8>> =
                self.rgb.planes(&view.frame).iter().map(|p| picture::bytes(p, 0.5)).collect();
            for (i, &mask) in view.mask.data().iter().enumerate() {
                if mask >= 1.0 {
                    planes.iter_mut().for_each(|plane| plane[i] = 0);
                }
            }
            let mask = [picture::bytes(&view.mask, 0.5)];
            let mut push = || {
                let warped = picture::stacked_bytes(&planes, size, &self.desk.device)?;
                let mask = picture::stacked_bytes(&mask, size, &self.desk.device)?;
                self.shot.strip.push(&warped, &mask)
            };
            push().map_err(|error| told(&error, &self.run.cancel))?;
            self.shot.views.push_back((left, view, stand.bars));
            self.done.warp += 1;
            self.run.watch.tell(Stage::Warp, self.done.warp);
        }
        self.shot.range = Some(range.end());
        Ok(())
    }

    /// The next right eyes that can be finished, if any, (F, 3, H, W).
    fn chunk(&mut self, ended: bool, wide: bool) -> candle_core::Result<Option<Tensor>> {
        let _turn = self.desk.turn();
        let mut check = || unless_cancelled(&self.run.cancel);
        let stage = self.desk.inpainting(&self.plan, wide)?;
        let mut noise = Field::new(self.run.seed).apart(INPAINT_NOISE);
        stage.next_chunk(&mut self.shot.strip, ended, &mut noise, &mut check)
    }

    /// Fills what can be filled and makes pairs of it.
    fn inpaint(&mut self, ended: bool, pairs: &mut Vec<StereoPair>) -> Result<(), Error> {
        let cancel = self.run.cancel.clone();
        let failed = |error: candle_core::Error| told(&error, &cancel);
        while !self.shot.views.is_empty() {
            let results = self.piece(Stage::Inpaint, |live, wide| live.chunk(ended, wide))?;
            let Some(results) = results else { return Ok(()) };
            for frame in 0..results.dims()[0] {
                let Some((left, view, bars)) = self.shot.views.pop_front() else {
                    return Err(Error::Failed("more right eyes than frames".into()));
                };
                let planes =
                    results.get(frame).and_then(|r| picture::planes(&r)).map_err(failed)?;
                let Ok(planes) = <[Plane; 3]>::try_from(planes) else {
                    return Err(Error::Failed("right eyes without three colours".into()));
                };
                let filled = self.rgb.frame(&planes, left.pts);
                let right = blend(&view.frame, &filled, &view.mask, self.feather_px())?;
                let mut pair = StereoPair { left, right };
                bars.draw(&mut pair);
                pairs.push(pair);
                self.done.inpaint += 1;
            }
            self.run.watch.tell(Stage::Inpaint, self.done.inpaint);
        }
        Ok(())
    }

    /// How far from a hole the invented picture has faded out.
    fn feather_px(&self) -> f32 {
        (self.format.width as f32 / 240.0).max(2.0)
    }

    /// Takes the next frame, after which `counted` is done.
    fn take(
        &mut self,
        frame: Frame,
        counted: impl FnOnce(&mut Self),
    ) -> Result<Vec<StereoPair>, Error> {
        if self.run.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        if *frame.format() != self.format {
            return Err(Error::Unsupported("a frame of another format than the clip".into()));
        }
        let mut pairs = Vec::new();
        if self.shots.begins(&frame) {
            pairs = self.end_shot()?;
        }
        counted(self);
        self.shot.frames.push_back(frame);
        pairs.extend(self.work(false)?);
        Ok(pairs)
    }
}

impl Session for Live {
    fn lead_in(&mut self, frame: Frame) -> Result<(), Error> {
        let counted = |live: &mut Self| {
            live.before += 1;
            live.shot.begins -= 1;
        };
        self.take(frame, counted).map(|_| ())
    }

    fn push(&mut self, frame: Frame) -> Result<Vec<StereoPair>, Error> {
        self.take(frame, |live| {
            live.owed += 1;
            live.done.taken += 1;
        })
    }

    fn lead_out(&mut self, frame: Frame) -> Result<Vec<StereoPair>, Error> {
        self.take(frame, |_| ())
    }

    fn finish(&mut self) -> Result<Vec<StereoPair>, Error> {
        if self.run.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        self.end_shot()
    }
}
