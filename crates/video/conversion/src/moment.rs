//! One frame of a film with its depth: from it any strength, convergence and layout is drawn without looking
//! at the film again.

use std::sync::Arc;
use std::time::Duration;

use parallax_frame::{Frame, FrameRate};
use parallax_media::{DecodeOptions, Decoder, Media, Packets, Span, Tools};
use parallax_stereo::{
    Clip, DepthEstimator, DepthModel, Error as StereoError, Geometry, Layout, Plane, Rendering,
    Run, StereoPair, ViewSynthesis, compose_as, shaped_format,
};
use tokio_util::sync::CancellationToken;

use crate::DepthFrom;
use crate::error::Error;
use crate::sheet::{Sheet, Tile};

/// Frames after the chosen one that an estimator may want to see first.
const AHEAD: usize = 8;
/// The share of a picture that lies outside of its measured range of parallax, at either end.
const OUTSIDE: f64 = 0.01;

/// Where a preview's depth comes from.
#[derive(Debug, Clone, Copy)]
pub enum PreviewDepth<'a> {
    /// An estimator, which is led in by so much of the film before each frame, as far as it looks back at all.
    Estimated {
        /// The estimator's model.
        model: &'a dyn DepthModel,
        /// The lead-in at most: what a conversion sees before may reach farther.
        back: Duration,
    },
    /// Depth that the user brings.
    File(&'a DepthFrom),
}

/// A frame and the depth of it.
#[derive(Debug, Clone)]
pub struct Moment {
    frame: Frame,
    depth: Plane,
    sample_aspect: (u32, u32),
}

impl Moment {
    /// The frame of `media` at `position`, counted from 0 in order of time, with the depth that a conversion
    /// would give it: only that frame is decoded, and what is looked back over before it.
    ///
    /// # Errors
    /// `Media` when the film cannot be read; `Engine` when the position is beyond its end or no depth is found.
    pub fn of_film(
        tools: &Tools,
        (media, packets): (&Media, &Packets),
        position: usize,
        (depth, pictures): (PreviewDepth<'_>, DecodeOptions),
        cancel: &CancellationToken,
    ) -> Result<Self, Error> {
        let times = packets.frame_times().unwrap_or_default();
        if position >= times.len() {
            let frames = match times.len() {
                0 => "no frames".to_owned(),
                count => format!("frames 0 to {}", count - 1),
            };
            let what = format!("frame {position}: the film has {frames}");
            return Err(StereoError::Unsupported(what).into());
        }
        let shown = pictures.applied(media);
        let clip = Clip { format: shown.video.format.clone(), rate: media.video.rate };
        let (back, last) = match depth {
            PreviewDepth::Estimated { model, back } => {
                let back = model.reach(&Run::default()).back.min(back);
                (back, (position + AHEAD).min(times.len() - 1))
            }
            PreviewDepth::File(_) => (Duration::ZERO, position),
        };
        let back = (back.as_secs_f64() * clip.rate.fps()).ceil() as usize;
        let first = position.saturating_sub(back);
        let span = Span { times: times[first]..times[last] + 1, longest: None };
        let decoder = Decoder::open_span(tools, media, packets, span, pictures, cancel)?;
        let (frame, depth) = match depth {
            PreviewDepth::Estimated { model, .. } => {
                let run = Run { cancel: cancel.clone(), ..Run::default() };
                estimated(decoder, model.estimator(&clip, &run)?, times[position])?
            }
            PreviewDepth::File(file) => {
                let frame = decoder.into_iter().next().transpose()?;
                let frame = frame.ok_or_else(|| StereoError::Failed("no frame".to_owned()))?;
                (frame, file.plane(position as u64, cancel)?)
            }
        };
        Ok(Self { frame, depth, sample_aspect: shown.video.sample_aspect })
    }

    /// A picture with the depth that `model` gives it by itself.
    ///
    /// # Errors
    /// Those of the estimator.
    pub fn of_still(
        frame: Frame,
        model: &dyn DepthModel,
        cancel: &CancellationToken,
    ) -> Result<Self, Error> {
        let clip = Clip { format: Arc::clone(frame.format()), rate: FrameRate { num: 25, den: 1 } };
        let run = Run { cancel: cancel.clone(), ..Run::default() };
        let time = frame.pts;
        let frames = std::iter::once(Ok(frame));
        let (frame, depth) = estimated(frames, model.estimator(&clip, &run)?, time)?;
        Ok(Self { frame, depth, sample_aspect: (1, 1) })
    }

    /// What it shows, as it is in the source.
    pub(crate) fn depth(&self) -> &Plane {
        &self.depth
    }

    /// Both eyes, and what the left one does not see of the right one's picture.
    pub(crate) fn eyes(
        &self,
        geometry: Geometry,
        rendering: Rendering,
    ) -> Result<(StereoPair, Plane), Error> {
        let mut synthesis = ViewSynthesis::new(self.frame.format(), geometry)?;
        let mask = synthesis.render(&self.frame, &self.depth)?.mask;
        Ok((synthesis.pair(self.frame.clone(), &self.depth, rendering)?, mask))
    }

    /// The picture that a conversion to `layout` gives, brought to `width` samples across.
    ///
    /// # Errors
    /// `Engine` when the geometry or the layout cannot be drawn.
    pub fn draw(
        &self,
        geometry: Geometry,
        rendering: Rendering,
        (layout, width): (Layout, usize),
    ) -> Result<Sheet, Error> {
        let mut synthesis = ViewSynthesis::new(self.frame.format(), geometry)?;
        let rendering = Rendering { depth_picture: layout == Layout::Rgbd, ..rendering };
        let pair = synthesis.pair(self.frame.clone(), &self.depth, rendering)?;
        let aspect = self.sample_aspect;
        let (format, shape) = shaped_format(layout, self.frame.format(), aspect, false);
        let packed = compose_as(&pair, layout, Arc::new(format), aspect)?;
        Tile::of(packed.format(), shape, width).alone(&packed)
    }

    /// The 1st and the 99th percentile of parallax in percent of the width, right eye minus left: negative is
    /// in front of the screen.
    pub fn parallax_percent(&self, geometry: Geometry) -> (f32, f32) {
        let mut depths: Vec<f32> =
            self.depth.data().iter().copied().filter(|d| !d.is_nan()).collect();
        if depths.is_empty() {
            return (0.0, 0.0);
        }
        let last = depths.len() - 1;
        let mut at = |share: f64| {
            let place = (share * last as f64).round() as usize;
            let (_, depth, _) = depths.select_nth_unstable_by(place, f32::total_cmp);
            geometry.disparity_percent * (geometry.convergence - depth.clamp(0.0, 1.0))
        };
        (at(1.0 - OUTSIDE), at(OUTSIDE))
    }
}

/// The frame at `time` and the depth that an estimator gives it, led in by those before.
fn estimated(
    frames: impl IntoIterator<Item = parallax_media::Result<Frame>>,
    mut estimator: Box<dyn DepthEstimator>,
    time: i64,
) -> Result<(Frame, Plane), Error> {
    let wanted = |ready: Vec<(Frame, Plane)>| ready.into_iter().find(|(f, _)| f.pts == time);
    for frame in frames {
        let mut ready = estimator.push(frame?)?;
        while !ready.is_empty() {
            if let Some(found) = wanted(ready) {
                return Ok(found);
            }
            ready = estimator.more()?;
        }
    }
    let mut found = wanted(estimator.finish()?);
    while found.is_none() {
        let more = estimator.more()?;
        if more.is_empty() {
            break;
        }
        found = wanted(more);
    }
    Ok(found.ok_or_else(|| StereoError::Failed(format!("no depth for the frame at {time}")))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use parallax_frame::{Colour, PixelFormat, VideoFormat};

    fn moment() -> Moment {
        let (pixels, colour) = (PixelFormat::YUV420P, Colour::default());
        let format = Arc::new(VideoFormat { width: 64, height: 36, pixels, colour });
        let mut frame = Frame::zeroed(format, 0);
        frame.data_mut().iter_mut().enumerate().for_each(|(i, sample)| *sample = (i * 37) as u8);
        let depth = Plane::from_fn(64, 36, |x, _| x as f32 / 63.0);
        Moment { frame, depth, sample_aspect: (1, 1) }
    }

    #[test]
    fn a_moment_is_drawn_again_without_its_film() {
        let moment = moment();
        let geometry = |disparity_percent| Geometry { disparity_percent, convergence: 0.5 };
        let drawn = |disparity, layout| {
            moment.draw(geometry(disparity), Rendering::default(), (layout, 64)).unwrap()
        };
        let flat = drawn(0.0, Layout::RightOnly);
        assert_eq!((flat.width, flat.height, flat.rgb.len()), (64, 36, 3 * 64 * 36));
        assert_ne!(flat, drawn(10.0, Layout::RightOnly), "strength moves the right eye");
        // Two eyes share the width of the picture.
        assert_eq!(drawn(2.0, Layout::FullSbs).height, 18);
        assert_eq!(drawn(2.0, Layout::HalfSbs).height, 18, "as players stretch it");
        assert_eq!(drawn(2.0, Layout::FullTb).height, 72);
        assert_eq!(&flat.png().unwrap()[1..4], b"PNG");
    }

    #[test]
    fn parallax_is_measured_as_shots_are() {
        let moment = moment();
        let at = |convergence| {
            let (near, far) =
                moment.parallax_percent(Geometry { disparity_percent: 4.0, convergence });
            ((near * 10.0).round() / 10.0, (far * 10.0).round() / 10.0)
        };
        assert_eq!(at(0.5), (-2.0, 2.0));
        assert_eq!(at(0.0), (-4.0, 0.0), "everything is in front of the screen");
    }
}
