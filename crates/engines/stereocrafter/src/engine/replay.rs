//! The reference's order of things: depth of the whole clip, its range, then everything else.
//!
//! Frames and depth wait on disk, so that memory does not grow with the clip: a 1080p frame takes 3 MB
//! there and its depth 2.4 MB. Between the stages values are cut to 8 bits as the reference's video
//! between them does, without that video's losses.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use candle_core::Tensor;
use parallax_frame::{Frame, VideoFormat};
use parallax_nn::noise::Generator;
use parallax_stereo::{Clip, Error, Plane, Rgb, Run, Session, Stage, StereoPair, reference};

use super::desk::Desk;
use super::failure::{told, unless_cancelled};
use super::flow::Flow;
use super::picture;
use super::spill::Spill;
use crate::depth::{enlarge, range, spread};
use crate::plan::Plan;
use crate::size::Size;
use crate::strip::Strip;

/// Frames that the reference warps together.
const BATCH: usize = 10;

/// A clip in progress.
pub(super) struct Replay {
    desk: Arc<Desk>,
    format: Arc<VideoFormat>,
    run: Run,
    rgb: Rgb,
    depth_size: Size,
    plan: Plan,
    scratch: PathBuf,
    /// Time and samples of every frame.
    frames: Spill,
    rendering: Option<Rendering>,
}

/// The second pass.
struct Rendering {
    /// Depth of every frame at working size, f32.
    depth: Spill,
    range: (f32, f32),
    /// Frames that are warped.
    next: usize,
    strip: Strip,
    noise: Generator,
    /// Frames that are warped and not inpainted, with what they were warped to.
    waiting: VecDeque<(Frame, Vec<Vec<u8>>)>,
    given: u64,
}

impl Replay {
    pub(super) fn new(
        desk: Arc<Desk>,
        clip: &Clip,
        run: &Run,
        rgb: Rgb,
        (depth_size, plan): (Size, Plan),
    ) -> Result<Self, Error> {
        let scratch = run.scratch.clone().unwrap_or_else(std::env::temp_dir);
        Ok(Self {
            desk,
            frames: Spill::create(&scratch, 8 + clip.format.frame_bytes())?,
            format: Arc::clone(&clip.format),
            run: run.clone(),
            rgb,
            depth_size,
            plan,
            scratch,
            rendering: None,
        })
    }

    fn frame(&self, index: usize) -> Result<Frame, Error> {
        let mut record = self.frames.get(index)?;
        let data = record.split_off(8);
        let pts = i64::from_le_bytes(record.try_into().unwrap_or_default());
        Frame::new(Arc::clone(&self.format), pts, data).map_err(|e| Error::Failed(e.to_string()))
    }

    /// The size of the clip's pictures.
    fn size(&self) -> Size {
        Size::new(self.format.width as usize, self.format.height as usize)
    }

    /// The first pass: depth of all frames and its range at full size.
    fn depth(&self) -> Result<Rendering, Error> {
        let cancel = &self.run.cancel;
        let failed = |error: candle_core::Error| told(&error, cancel);
        let mut check = || unless_cancelled(cancel);
        let _turn = self.desk.turn();
        let window = self.desk.depth_options(&self.plan).window;
        let Size { width, height } = self.depth_size;
        let mut depth = Spill::create(&self.scratch, width * height * 4)?;
        let total = self.frames.len();
        // One stream, of which the augmentation of every frame comes first.
        let mut augmentation = Generator::new(self.run.seed);
        let mut noise = augmentation.clone();
        for _ in 0..total {
            noise.normal_f32(3 * width * height);
        }
        let mut flow = Flow::default();
        let mut limits: Option<(f32, f32)> = None;
        let mut frame = |i: usize| {
            let frame = self.frame(i).map_err(candle_core::Error::wrap)?;
            picture::working(&self.rgb.planes(&frame), self.depth_size, &self.desk.device)
        };
        while let Some(next) = flow.next(total, true, window) {
            let end = total.min(flow.start() + window);
            self.desk.piece(&self.run, (Stage::Depth, 0), |wide| {
                let stage = self.desk.depth(&self.plan, wide)?;
                flow.encode(&stage, end, &mut frame, &mut augmentation, &mut check)?;
                flow.step(&stage, next, &mut noise, &mut check)
            })?;
            let ended = flow.next(total, true, window).is_none();
            let mut decoded = || {
                self.desk.piece(&self.run, (Stage::Depth, 0), |wide| {
                    flow.decode(&self.desk.depth(&self.plan, wide)?, ended, &mut check)
                })
            };
            while let Some(part) = decoded()? {
                let full = enlarge(&part, self.size()).and_then(|full| range(&full));
                let (low, high) = full.map_err(failed)?;
                limits = Some(limits.map_or((low, high), |(l, h)| (low.min(l), high.max(h))));
                for i in 0..part.dims()[0] {
                    let planes = part.get(i).and_then(|p| picture::planes(&p)).map_err(failed)?;
                    let bytes = planes.iter().flat_map(|p| p.data()).flat_map(|v| v.to_le_bytes());
                    depth.push(&[&bytes.collect::<Vec<u8>>()])?;
                }
                self.run.watch.tell(Stage::Depth, depth.len() as u64);
            }
        }
        Ok(Rendering {
            depth,
            range: limits.unwrap_or_default(),
            next: 0,
            strip: Strip::new(0),
            noise: Generator::new(self.run.seed.wrapping_add(1)),
            waiting: VecDeque::new(),
            given: 0,
        })
    }

    /// Disparity of frame `index` in pixels; zero at the convergence.
    fn disparity(&self, depth: &Spill, range: (f32, f32), index: usize) -> Result<Plane, Error> {
        let failed = |error: candle_core::Error| told(&error, &self.run.cancel);
        let bytes = depth.get(index)?;
        let read = |b: &[u8]| b.try_into().map(f32::from_le_bytes).unwrap_or_default();
        let values: Vec<f32> = bytes.chunks_exact(4).map(read).collect();
        let Size { width, height } = self.depth_size;
        let depth = Tensor::from_vec(values, (1, 1, height, width), &self.desk.device)
            .and_then(|depth| spread(&enlarge(&depth, self.size())?, range))
            .and_then(|depth| picture::planes(&depth.get(0)?))
            .map_err(failed)?;
        let mut disparity = depth.into_iter().next().ok_or(Error::Cancelled)?;
        let geometry = self.run.geometry;
        let most = geometry.disparity_percent / 200.0 * self.format.width as f32;
        for v in disparity.data_mut() {
            *v = (*v - geometry.convergence) * 2.0 * most;
        }
        Ok(disparity)
    }

    /// Warps the next frames.
    fn warp(&self, rendering: &mut Rendering) -> Result<(), Error> {
        let end = self.frames.len().min(rendering.next + BATCH);
        let (mut frames, mut batch) = (Vec::new(), Vec::new());
        for index in rendering.next..end {
            let frame = self.frame(index)?;
            let disparity = self.disparity(&rendering.depth, rendering.range, index)?;
            batch.push(reference::Source { planes: self.rgb.planes(&frame).into(), disparity });
            frames.push(frame);
        }
        let size = (self.format.width as usize, self.format.height as usize);
        for (frame, splat) in frames.into_iter().zip(reference::splat(&batch)) {
            let planes: Vec<Vec<u8>> =
                splat.planes.iter().map(|p| picture::bytes(p, 0.0)).collect();
            let mask = [picture::bytes(&splat.mask, 0.0)];
            let mut push = || {
                let warped = picture::stacked_bytes(&planes, size, &self.desk.device)?;
                let mask = picture::stacked_bytes(&mask, size, &self.desk.device)?;
                rendering.strip.push(&warped, &mask)
            };
            push().map_err(|error| told(&error, &self.run.cancel))?;
            rendering.waiting.push_back((frame, planes));
        }
        rendering.next = end;
        self.run.watch.tell(Stage::Warp, end as u64);
        Ok(())
    }

    /// The next pairs of the second pass, as many as come together; none at the end.
    fn render(&self, rendering: &mut Rendering) -> Result<Vec<StereoPair>, Error> {
        let cancel = &self.run.cancel;
        let failed = |error: candle_core::Error| told(&error, cancel);
        let mut check = || unless_cancelled(cancel);
        let _turn = self.desk.turn();
        loop {
            let ended = rendering.next == self.frames.len();
            let Rendering { strip, noise, .. } = rendering;
            let results = self.desk.piece(&self.run, (Stage::Inpaint, 0), |wide| {
                let stage = self.desk.inpainting(&self.plan, wide)?;
                // A stream: a chunk that is done again draws what it drew before.
                let mut drawn = noise.clone();
                let results = stage.next_chunk(strip, ended, &mut drawn, &mut check)?;
                *noise = drawn;
                Ok(results)
            })?;
            match results {
                None if ended => return Ok(Vec::new()),
                None => self.warp(rendering)?,
                Some(results) => {
                    let mut pairs = Vec::new();
                    for i in 0..results.dims()[0] {
                        let planes =
                            results.get(i).and_then(|r| picture::planes(&r)).map_err(failed)?;
                        let Some((left, warped)) = rendering.waiting.pop_front() else {
                            return Err(Error::Failed("more right eyes than frames".into()));
                        };
                        pairs.push(self.pair(left, &warped, &planes));
                    }
                    rendering.given += pairs.len() as u64;
                    self.run.watch.tell(Stage::Inpaint, rendering.given);
                    return Ok(pairs);
                }
            }
        }
    }

    /// The right eye is the result; where the reference cuts both eyes off, on the right and below, it
    /// is the warped view, so that the picture keeps its size.
    fn pair(&self, left: Frame, warped: &[Vec<u8>], result: &[Plane]) -> StereoPair {
        let Size { width, height } = self.size();
        let planes = [0, 1, 2].map(|c| {
            let mut plane = picture::unit_plane(&warped[c], width, height);
            for y in 0..result[c].height() {
                plane.row_mut(y)[..result[c].width()].copy_from_slice(result[c].row(y));
            }
            plane
        });
        let right = self.rgb.frame(&planes, left.pts);
        StereoPair { left, right }
    }
}

impl Session for Replay {
    fn push(&mut self, frame: Frame) -> Result<Vec<StereoPair>, Error> {
        if self.run.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        if *frame.format() != self.format {
            return Err(Error::Unsupported("a frame of another format than the clip".into()));
        }
        self.frames.push(&[&frame.pts.to_le_bytes(), frame.data()])?;
        Ok(Vec::new())
    }

    fn finish(&mut self) -> Result<Vec<StereoPair>, Error> {
        if self.run.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        if self.frames.len() == 0 {
            return Ok(Vec::new());
        }
        let mut rendering = match self.rendering.take() {
            Some(rendering) => rendering,
            None => self.depth()?,
        };
        let pairs = self.render(&mut rendering)?;
        self.rendering = Some(rendering);
        Ok(pairs)
    }
}
