//! Depth frame by frame.

use std::sync::Arc;

use candle_core::Result;
use parallax_dpt::{Depth, DepthNetwork, Output};
use parallax_frame::Frame;
use parallax_nn::ignore;
use parallax_stereo::{Error, InverseDepth, Plane};

use crate::failure::failed;
use crate::input::{Input, plane};

/// Added to depth before it is inverted, so that what is next to the camera does not take the whole range.
const NEAR: f32 = 0.2;
/// From here on a pixel is sky, which is as far as anything can be.
const SKY: f32 = 0.3;

/// A network that sees one frame at a time.
#[derive(Debug)]
pub(crate) struct Single {
    pub(crate) network: Arc<DepthNetwork>,
    pub(crate) input: Input,
}

impl Single {
    fn estimate(&self, frame: &Frame) -> Result<Plane> {
        let depth = self.network.forward(&self.input.of(frame)?, &mut ignore)?;
        match self.network.config().output {
            Output::Relative => plane(&depth.depth),
            Output::Metric { .. } | Output::ExponentialWithSky => inverse(&depth),
        }
    }
}

/// The inverse of depth, 0 in the sky.
fn inverse(depth: &Depth) -> Result<Plane> {
    let mut plane_of_depth = plane(&depth.depth)?;
    plane_of_depth.data_mut().iter_mut().for_each(|d| *d = 1.0 / (*d + NEAR));
    if let Some(sky) = &depth.sky {
        let sky = plane(sky)?;
        let samples = plane_of_depth.data_mut().iter_mut().zip(sky.data());
        samples.filter(|(_, sky)| **sky >= SKY).for_each(|(d, _)| *d = 0.0);
    }
    Ok(plane_of_depth)
}

impl InverseDepth for Single {
    fn begin_shot(&mut self) {}

    fn push(&mut self, frame: &Frame) -> std::result::Result<Vec<Plane>, Error> {
        Ok(vec![self.estimate(frame).map_err(failed)?])
    }

    fn finish_shot(&mut self) -> std::result::Result<Vec<Plane>, Error> {
        Ok(Vec::new())
    }
}
