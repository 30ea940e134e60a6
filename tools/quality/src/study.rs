//! One way of making the right eye, measured on one film.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::{Context, Result};
use parallax_frame::{Frame, FrameRate};
use parallax_stereo::{
    Clip, DepthEstimator, DepthSession, DraftDepth, Error, Fill, Plane, Rendering, Run, Session,
    ViewSynthesis, Warping,
};

use crate::metrics::{Mean, correlation, ssim};
use crate::truth::{GEOMETRY, Moment, RATE, Sight};

/// Where depth comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// The film's own.
    True,
    /// The engine `draft`.
    Draft,
    /// None: the engine `copy` shows the left eye.
    None,
}

/// A way of making the right eye.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) depth: Depth,
    pub(crate) warping: Warping,
    pub(crate) fill: Fill,
}

/// What came of it. What a film does not have, or a way does not make, has no value.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scores {
    pub(crate) psnr_seen: Option<f64>,
    pub(crate) psnr_rim: Option<f64>,
    pub(crate) psnr_hidden: Option<f64>,
    pub(crate) ssim_seen: Option<f64>,
    pub(crate) ssim_rim: Option<f64>,
    pub(crate) ssim_hidden: Option<f64>,
    pub(crate) precision: Option<f64>,
    pub(crate) recall: Option<f64>,
    pub(crate) flicker_seen: Option<f64>,
    pub(crate) flicker_hidden: Option<f64>,
    pub(crate) correlation: Option<f64>,
}

/// Right eyes of `film`, and their scores.
pub(crate) fn study(film: &[Moment], way: Way) -> Result<(Vec<Frame>, Scores)> {
    let depths = depths(film, way.depth)?;
    let rights = match &depths {
        None => film.iter().map(|moment| moment.left.clone()).collect(),
        Some(depths) => rights(film, depths, way)?,
    };
    let mut scores = compare(film, &rights);
    if let Some(depths) = &depths {
        (scores.precision, scores.recall) = masks(film, depths, way)?;
        let mut mean = Mean::default();
        film.iter().zip(depths).for_each(|(m, depth)| mean.add(correlation(depth, &m.depth)));
        scores.correlation = mean.value();
    }
    Ok((rights, scores))
}

pub(crate) fn clip(film: &[Moment]) -> Result<Clip> {
    let first = film.first().context("a film without frames")?;
    Ok(Clip { format: Arc::clone(first.left.format()), rate: FrameRate { num: RATE, den: 1 } })
}

/// The depth of every frame.
pub(crate) fn depths(film: &[Moment], from: Depth) -> Result<Option<Vec<Plane>>> {
    Ok(match from {
        Depth::None => None,
        Depth::True => Some(film.iter().map(|moment| moment.depth.clone()).collect()),
        Depth::Draft => {
            let mut draft = DraftDepth::new(&clip(film)?, Run::default().cancel);
            let mut out = Vec::new();
            for moment in film {
                out.extend(draft.push(moment.left.clone())?);
            }
            out.extend(draft.finish()?);
            Some(out.into_iter().map(|(_, depth)| depth).collect())
        }
    })
}

#[derive(Debug)]
struct Given(VecDeque<Plane>);

impl DepthEstimator for Given {
    fn push(&mut self, frame: Frame) -> Result<Vec<(Frame, Plane)>, Error> {
        Ok(self.0.pop_front().map(|depth| (frame, depth)).into_iter().collect())
    }

    fn finish(&mut self) -> Result<Vec<(Frame, Plane)>, Error> {
        Ok(Vec::new())
    }
}

pub(crate) fn rights(film: &[Moment], depths: &[Plane], way: Way) -> Result<Vec<Frame>> {
    let rendering = Rendering { warping: way.warping, fill: way.fill, ..Rendering::default() };
    let run = Run { geometry: GEOMETRY, rendering, ..Run::default() };
    let given = Given(depths.iter().cloned().collect());
    let mut session = DepthSession::new(given, &clip(film)?, &run)?;
    let mut pairs = Vec::new();
    for moment in film {
        pairs.extend(session.push(moment.left.clone())?);
    }
    pairs.extend(session.finish()?);
    Ok(pairs.into_iter().map(|pair| pair.right).collect())
}

/// Precision and recall of the occlusion masks at a half.
fn masks(film: &[Moment], depths: &[Plane], way: Way) -> Result<(Option<f64>, Option<f64>)> {
    let rendering = Rendering { warping: way.warping, fill: Fill::Black, ..Rendering::default() };
    let mut synthesis = ViewSynthesis::new(&clip(film)?.format, GEOMETRY)?;
    let (mut both, mut masked, mut hidden) = (0u64, 0u64, 0u64);
    for (moment, depth) in film.iter().zip(depths) {
        synthesis.pair(moment.left.clone(), depth, rendering)?;
        for (&m, &sight) in synthesis.mask().data().iter().zip(&moment.sights) {
            let h = matches!(sight, Sight::Hidden | Sight::Beyond);
            both += u64::from(m > 0.5 && h);
            masked += u64::from(m > 0.5);
            hidden += u64::from(h);
        }
    }
    let share = |of: u64| (of > 0).then(|| both as f64 / of as f64);
    Ok((share(masked), share(hidden)))
}

fn luma(frame: &Frame) -> Plane {
    let shape = frame.format().plane(0);
    Plane::new(shape.width, shape.height, frame.plane_f32(0))
}

pub(crate) fn compare(film: &[Moment], rights: &[Frame]) -> Scores {
    // Of what is seen, of the rim as well, and of what is hidden.
    let [mut error, mut similarity, mut flicker] = [[Mean::default(); 3]; 3];
    let mut before: Option<(Plane, Plane)> = None;
    for (moment, right) in film.iter().zip(rights) {
        let (made, truth) = (luma(right), luma(&moment.right));
        let similar = ssim(&made, &truth);
        for (i, &sight) in moment.sights.iter().enumerate() {
            let places: &[usize] = match sight {
                Sight::Seen => &[0],
                Sight::Rim => &[0, 1],
                Sight::Hidden => &[2],
                Sight::Beyond => continue,
            };
            let off = made.data()[i] - truth.data()[i];
            for &place in places {
                error[place].add(f64::from(off * off));
                similarity[place].add(similar.data()[i].into());
                if let Some((made, truth)) = &before {
                    // What changes although the truth does not, and the other way round.
                    let change = off - (made.data()[i] - truth.data()[i]);
                    flicker[place].add(change.abs().into());
                }
            }
        }
        before = Some((made, truth));
    }
    Scores {
        psnr_seen: error[0].psnr(),
        psnr_rim: error[1].psnr(),
        psnr_hidden: error[2].psnr(),
        ssim_seen: similarity[0].value(),
        ssim_rim: similarity[1].value(),
        ssim_hidden: similarity[2].value(),
        flicker_seen: flicker[0].value(),
        flicker_hidden: flicker[2].value(),
        ..Scores::default()
    }
}

impl Scores {
    /// The means of several films' scores; what one of them does not have, none has.
    pub(crate) fn mean(all: &[Self]) -> Self {
        let mean = |of: fn(&Self) -> Option<f64>| {
            let values: Option<Vec<f64>> = all.iter().map(of).collect();
            values.filter(|v| !v.is_empty()).map(|v| v.iter().sum::<f64>() / v.len() as f64)
        };
        Self {
            psnr_seen: mean(|s| s.psnr_seen),
            psnr_rim: mean(|s| s.psnr_rim),
            psnr_hidden: mean(|s| s.psnr_hidden),
            ssim_seen: mean(|s| s.ssim_seen),
            ssim_rim: mean(|s| s.ssim_rim),
            ssim_hidden: mean(|s| s.ssim_hidden),
            precision: mean(|s| s.precision),
            recall: mean(|s| s.recall),
            flicker_seen: mean(|s| s.flicker_seen),
            flicker_hidden: mean(|s| s.flicker_hidden),
            correlation: mean(|s| s.correlation),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::{TAKES, film};

    #[test]
    fn true_depth_gives_the_right_eye_outside_occlusions() -> Result<()> {
        for take in TAKES {
            let film = film(take, (480, 270), 1);
            let way = Way { depth: Depth::True, warping: Warping::Surface, fill: Fill::default() };
            let (_, scores) = study(&film, way)?;
            let seen = scores.psnr_seen.context("a picture")?;
            assert!(seen >= 38.0, "{take:?}: {seen} dB");
            // Pixels in which two surfaces mix are holes to the one and none to the other.
            let (precision, recall) = (scores.precision, scores.recall);
            assert!(precision > Some(0.7) && recall > Some(0.9), "{take:?}: {scores:?}");
        }
        Ok(())
    }
}
