//! A network's answers, frame by frame, as depth that holds still.

use std::collections::VecDeque;

use parallax_frame::Frame;
use tokio_util::sync::CancellationToken;

use super::inverse_depth::InverseDepth;
use super::options::{ChainOptions, ChainSteps};
use super::range::{LOOKAHEAD, Range, ShotRange};
use super::waiting::{Motion, Queue};
use super::{curve, edges};
use crate::motion::{Field, Look};
use crate::{Clip, DepthEstimator, Error, NotFinite, Plane, Run};

/// The depth of any feed-forward network, steadied shot by shot.
///
/// Lags by the network's lag, by the frames between those that it sees, and by seven frames more. Uses no
/// randomness; nothing of a shot counts in the next.
///
/// # Example
/// A network that guesses scale and shift anew for each frame, as those that see one frame at a time do:
///
/// ```
/// use std::sync::Arc;
///
/// use parallax_frame::FrameRate;
/// use parallax_stereo::{
///     ChainOptions, Clip, DepthEstimator, Error, InverseDepth, Plane, Run, SteadyDepth,
/// };
/// # use parallax_frame::{Chroma, Colour, Frame, PixelFormat, VideoFormat};
/// # let pixels = PixelFormat::new(Chroma::Yuv420, 8)?;
/// # let format = Arc::new(VideoFormat { width: 64, height: 48, pixels, colour: Colour::default() });
///
/// /// Nearer to the right, by a tenth more in every other frame.
/// #[derive(Debug, Default)]
/// struct Unsteady(u32);
///
/// impl InverseDepth for Unsteady {
///     fn begin_shot(&mut self) {}
///
///     fn push(&mut self, _frame: &Frame) -> Result<Vec<Plane>, Error> {
///         self.0 += 1;
///         let scale = if self.0 % 2 == 0 { 1.1 } else { 1.0 };
///         Ok(vec![Plane::from_fn(32, 24, |x, _| scale * (x as f32 + 5.0))])
///     }
///
///     fn finish_shot(&mut self) -> Result<Vec<Plane>, Error> {
///         Ok(Vec::new())
///     }
/// }
///
/// let clip = Clip { format: format.clone(), rate: FrameRate { num: 25, den: 1 } };
/// let mut depth =
///     SteadyDepth::new(Unsteady::default(), &clip, &Run::default(), ChainOptions::default())?;
/// let mut planes = Vec::new();
/// for pts in 0..12 {
///     planes.extend(depth.push(Frame::zeroed(format.clone(), pts))?);
/// }
/// planes.extend(depth.finish()?);
///
/// // Every frame has a plane of its size in 0 to 1, and what flickered stands still.
/// assert_eq!(planes.len(), 12);
/// let (first, last) = (&planes[0].1, &planes[11].1);
/// assert_eq!((first.width(), first.height()), (64, 48));
/// assert!(first.at(60, 24) > 0.9 && first.at(3, 24) < 0.1);
/// assert!((first.at(32, 24) - last.at(32, 24)).abs() < 0.02);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SteadyDepth<N> {
    network: N,
    options: ChainOptions,
    seconds_per_frame: f32,
    cancel: CancellationToken,
    /// The frame taken last.
    look: Option<Look>,
    /// Frames taken of the clip and of the shot.
    taken: u64,
    in_shot: u64,
    queue: Queue,
    /// Frames with settled depth, and what each spans.
    settled: VecDeque<(Frame, Plane, Range)>,
    range: ShotRange,
    /// The time of the shot's first frame, and of the one that was given out last.
    first: Option<i64>,
    opened: Option<i64>,
}

impl<N: InverseDepth> SteadyDepth<N> {
    /// An estimator for one clip.
    ///
    /// # Errors
    /// `Unsupported` when an option is out of range.
    pub fn new(network: N, clip: &Clip, run: &Run, options: ChainOptions) -> Result<Self, Error> {
        options.validate()?;
        let fps = clip.rate.fps();
        let fps = if fps.is_finite() { fps.clamp(1.0, 240.0) } else { 25.0 };
        let seconds_per_frame = 1.0 / fps as f32;
        let steps = steps(&network, options.steps);
        Ok(Self {
            network,
            options: ChainOptions { steps, ..options },
            seconds_per_frame,
            cancel: run.cancel.clone(),
            look: None,
            taken: 0,
            in_shot: 0,
            queue: Queue::new(steps, seconds_per_frame),
            settled: VecDeque::new(),
            range: ShotRange::default(),
            first: None,
            opened: None,
        })
    }

    fn check(&self) -> Result<(), Error> {
        if self.cancel.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// The motion from the frame before to the one of `look`; `None` when that begins a shot.
    fn motion(&self, look: &Look) -> (bool, Option<Motion>) {
        let Some(last) = &self.look else { return (true, None) };
        let flow = look.flow_to(last);
        if look.is_cut_after(last, &flow, 1.0) {
            return (true, None);
        }
        let ChainOptions { every, steps, .. } = self.options;
        if every == 1 && !(steps.align || steps.blend) {
            return (false, None);
        }
        let back = Field::of(look, last, &flow);
        let ahead = (every > 1).then(|| Field::of(last, look, &last.flow_to(look)));
        (false, Some(Motion { back, ahead }))
    }

    fn begin_shot(&mut self, pts: i64) {
        self.network.begin_shot();
        self.queue = Queue::new(self.options.steps, self.seconds_per_frame);
        self.range = ShotRange::default();
        self.in_shot = 0;
        self.first = Some(pts);
    }

    /// Takes what the network says, and gives out what that settles.
    fn take(&mut self, planes: Vec<Plane>, over: bool) -> Result<Vec<(Frame, Plane)>, Error> {
        for plane in &planes {
            self.look_at(plane)?;
        }
        self.queue.give(planes)?;
        let mut out = Vec::new();
        loop {
            let settled = self.queue.next();
            if settled.is_empty() {
                break;
            }
            // All of a run, before the shot's centre moves for those that are here.
            for (frame, depth) in settled {
                let range = Range::of(&depth);
                self.settled.push_back((frame, depth, range));
            }
            while self.settled.len() >= LOOKAHEAD {
                out.extend(self.give_out()?);
            }
        }
        while over && !self.settled.is_empty() {
            out.extend(self.give_out()?);
        }
        Ok(out)
    }

    /// Refuses depth that is no numbers: comparisons would quietly make some of it.
    fn look_at(&self, plane: &Plane) -> Result<(), Error> {
        let taken = self.taken;
        let place = || format!("one of the {taken} frames up to here");
        match NotFinite::in_depth(plane, place) {
            None => Ok(()),
            Some(what) => {
                let advice = "this network cannot see the film; choose another".to_owned();
                Err(Error::NotFinite { what, advice })
            }
        }
    }

    /// The first of the frames whose depth is settled.
    fn give_out(&mut self) -> Result<Option<(Frame, Plane)>, Error> {
        self.check()?;
        if self.range.is_open() {
            let centred = self.queue.recentre();
            for (_, depth, range) in &mut self.settled {
                centred.apply(depth);
                *range = range.by(centred);
            }
        }
        let ahead = self.settled.iter().map(|(_, _, range)| *range).take(LOOKAHEAD);
        let shared = self.range.next(ahead, self.seconds_per_frame);
        let Some((frame, mut depth, own)) = self.settled.pop_front() else { return Ok(None) };
        let range = if self.options.steps.shot_range { shared.unwrap_or(own) } else { own };
        range.apply(&mut depth);
        curve::apply(&mut depth, self.options.curve);
        let depth = edges::full_size(&depth, &frame, self.options.steps);
        if self.first == Some(frame.pts) {
            self.opened = self.first;
        }
        Ok(Some((frame, depth)))
    }

    /// Gives out all that remains of the shot.
    fn end_shot(&mut self) -> Result<Vec<(Frame, Plane)>, Error> {
        let mut planes = match self.queue.last_unseen() {
            Some(frame) => self.network.push(frame)?,
            None => Vec::new(),
        };
        planes.extend(self.network.finish_shot()?);
        let out = self.take(planes, true)?;
        if !self.queue.is_empty() {
            return Err(Error::Failed("fewer planes of depth than frames".to_owned()));
        }
        Ok(out)
    }
}

/// The steps that this network needs.
fn steps(network: &impl InverseDepth, steps: ChainSteps) -> ChainSteps {
    if network.consistent() { ChainSteps { align: false, blend: false, ..steps } } else { steps }
}

impl<N: InverseDepth> DepthEstimator for SteadyDepth<N> {
    fn push(&mut self, frame: Frame) -> Result<Vec<(Frame, Plane)>, Error> {
        self.check()?;
        let look = Look::of(&frame);
        let (begins, motion) = self.motion(&look);
        let mut out = Vec::new();
        if begins {
            if self.look.is_some() {
                out = self.end_shot()?;
            }
            self.begin_shot(frame.pts);
        }
        self.look = Some(look);
        let key = self.in_shot.is_multiple_of(u64::from(self.options.every));
        self.in_shot += 1;
        self.taken += 1;
        let planes = if key { self.network.push(&frame)? } else { Vec::new() };
        self.queue.push(frame, key, motion);
        out.extend(self.take(planes, false)?);
        Ok(out)
    }

    fn finish(&mut self) -> Result<Vec<(Frame, Plane)>, Error> {
        self.check()?;
        if self.look.take().is_none() {
            return Ok(Vec::new());
        }
        self.end_shot()
    }

    fn begins_shot(&self, pts: i64) -> Option<bool> {
        Some(self.opened == Some(pts))
    }
}
