//! StereoCrafter's second stage as an inpainter: chunk by chunk, while frames still come.

use std::collections::VecDeque;
use std::sync::Arc;

use candle_core::Tensor;
use parallax_frame::{Frame, VideoFormat};
use parallax_stereo::{
    Bars, Clip, Error, Inpainter, Placed, Plane, Rgb, Run, Stage, StereoPair, View, ViewSynthesis,
    blend,
};

use super::desk::Desk;
use super::failure::{told, unless_cancelled};
use super::picture;
use super::scene::Scene;
use crate::noise::Field;
use crate::plan::Plan;
use crate::strip::Strip;

/// The field of noise, apart from those of depth.
const INPAINT_NOISE: u64 = 2;

/// A clip in progress.
pub(super) struct Diffusion {
    desk: Arc<Desk>,
    format: Arc<VideoFormat>,
    run: Run,
    rgb: Rgb,
    plan: Plan,
    synthesis: ViewSynthesis,
    /// `None` before the shot's first frame.
    shot: Option<Shot>,
    /// Frames of the clip that are warped, and those that are inpainted.
    warped: u64,
    inpainted: u64,
}

/// The shot in progress.
struct Shot {
    /// The clip's number of its first frame; negative where the shot begins before the clip.
    begins: i64,
    strip: Strip,
    /// Warped, not inpainted.
    views: VecDeque<(Frame, View, Bars)>,
}

impl Diffusion {
    pub(super) fn new(
        desk: Arc<Desk>,
        clip: &Clip,
        run: &Run,
        scene: Scene,
    ) -> Result<Self, Error> {
        let Scene { rgb, plan, .. } = scene;
        Ok(Self {
            desk,
            format: Arc::clone(&clip.format),
            synthesis: ViewSynthesis::new(&clip.format, run.geometry)?
                .with_comfort(run.staging.comfort),
            run: run.clone(),
            rgb,
            plan,
            shot: None,
            warped: 0,
            inpainted: 0,
        })
    }

    /// The warped view as the network takes it: 8 bits, black where the mask is whole.
    fn inputs(&self, view: &View) -> candle_core::Result<(Tensor, Tensor)> {
        let size = (self.format.width as usize, self.format.height as usize);
        let mut planes: Vec<Vec<u8>> =
            self.rgb.planes(&view.frame).iter().map(|p| picture::bytes(p, 0.5)).collect();
        for (i, &mask) in view.mask.data().iter().enumerate() {
            if mask >= 1.0 {
                planes.iter_mut().for_each(|plane| plane[i] = 0);
            }
        }
        let mask = [picture::bytes(&view.mask, 0.5)];
        let warped = picture::stacked_bytes(&planes, size, &self.desk.device)?;
        Ok((warped, picture::stacked_bytes(&mask, size, &self.desk.device)?))
    }

    /// The next right eyes that can be finished, if any, (F, 3, H, W).
    fn chunk(&mut self, ended: bool) -> Result<Option<Tensor>, Error> {
        let Self { desk, run, plan, shot: Some(shot), .. } = self else { return Ok(None) };
        desk.piece(run, (Stage::Inpaint, shot.begins), |wide| {
            let _turn = desk.turn();
            let mut check = || unless_cancelled(&run.cancel);
            let stage = desk.inpainting(plan, wide)?;
            let mut noise = Field::new(run.seed).apart(INPAINT_NOISE);
            stage.next_chunk(&mut shot.strip, ended, &mut noise, &mut check)
        })
    }

    /// Fills what can be filled and makes pairs of it.
    fn inpaint(&mut self, ended: bool) -> Result<Vec<StereoPair>, Error> {
        let mut pairs = Vec::new();
        while self.shot.as_ref().is_some_and(|shot| !shot.views.is_empty()) {
            let Some(results) = self.chunk(ended)? else { break };
            for frame in 0..results.dims()[0] {
                pairs.push(self.pair(&results, frame)?);
                self.inpainted += 1;
            }
            self.run.watch.tell(Stage::Inpaint, self.inpainted);
        }
        Ok(pairs)
    }

    /// The next pair, whose right eye is of frame `frame` of the results.
    fn pair(&mut self, results: &Tensor, frame: usize) -> Result<StereoPair, Error> {
        let next = self.shot.as_mut().and_then(|shot| shot.views.pop_front());
        let Some((left, view, bars)) = next else {
            return Err(Error::Failed("more right eyes than frames".into()));
        };
        let planes = results
            .get(frame)
            .and_then(|result| picture::planes(&result))
            .map_err(|error| told(&error, &self.run.cancel))?;
        let Ok(planes) = <[Plane; 3]>::try_from(planes) else {
            return Err(Error::Failed("right eyes without three colours".into()));
        };
        let filled = self.rgb.frame(&planes, left.pts);
        let right = blend(&view.frame, &filled, &view.mask, self.feather_px())?;
        let mut pair = StereoPair { left, right };
        bars.draw(&mut pair);
        Ok(pair)
    }

    /// How far from a hole the invented picture has faded out.
    fn feather_px(&self) -> f32 {
        (self.format.width as f32 / 240.0).max(2.0)
    }
}

impl std::fmt::Debug for Diffusion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Diffusion").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl Inpainter for Diffusion {
    fn draw(&mut self, frame: Frame, depth: &Plane, at: &Placed) -> Result<Vec<StereoPair>, Error> {
        self.synthesis.set_convergence(at.stand.convergence);
        let view = self.synthesis.render(&frame, depth)?;
        let (warped, mask) = self.inputs(&view).map_err(|error| told(&error, &self.run.cancel))?;
        let shot = self.shot.get_or_insert_with(|| Shot {
            begins: at.shot_begins,
            // Noise is that of the shot's frames, wherever the clip begins in it.
            strip: Strip::new(at.in_shot),
            views: VecDeque::new(),
        });
        shot.strip.push(&warped, &mask).map_err(|error| told(&error, &self.run.cancel))?;
        shot.views.push_back((frame, view, at.stand.bars));
        self.warped += 1;
        self.run.watch.tell(Stage::Warp, self.warped);
        Ok(Vec::new())
    }

    fn settle(&mut self) -> Result<Vec<StereoPair>, Error> {
        self.inpaint(false)
    }

    fn end_shot(&mut self) -> Result<Vec<StereoPair>, Error> {
        let pairs = self.inpaint(true)?;
        self.shot = None;
        Ok(pairs)
    }
}
