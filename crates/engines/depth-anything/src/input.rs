//! Frames as a network takes them, and its depth as planes.

use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor};
use parallax_dpt::{Resampling, network_input};
use parallax_frame::{Frame, VideoFormat};
use parallax_stereo::{Error, Plane, Rgb};

/// The way of a clip's frames to a network's input.
#[derive(Debug)]
pub(crate) struct Input {
    rgb: Rgb,
    picture: (usize, usize),
    /// Width and height of the network's input.
    pub(crate) size: (usize, usize),
    resampling: Resampling,
    device: Device,
    dtype: DType,
}

impl Input {
    pub(crate) fn new(
        format: &Arc<VideoFormat>,
        size: (usize, usize),
        resampling: Resampling,
        (device, dtype): (&Device, DType),
    ) -> std::result::Result<Self, Error> {
        let picture = (format.width as usize, format.height as usize);
        let rgb = Rgb::of(format)?;
        Ok(Self { rgb, picture, size, resampling, device: device.clone(), dtype })
    }

    /// (1, 3, h, w)
    pub(crate) fn of(&self, frame: &Frame) -> Result<Tensor> {
        let planes = self.rgb.planes(frame);
        let channels = [0, 1, 2].map(|i| planes[i].data());
        let input = network_input(channels, self.picture, self.size, self.resampling)?;
        input.to_device(&self.device)?.to_dtype(self.dtype)
    }
}

/// Depth (1, 1, h, w) as a plane.
pub(crate) fn plane(depth: &Tensor) -> Result<Plane> {
    let (_, _, height, width) = depth.dims4()?;
    let data = depth.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    Ok(Plane::new(width, height, data))
}
