//! Frames as tensors and back.

use candle_core::{DType, Device, Result, Tensor};
use parallax_nn::resize::resize_antialiased;
use parallax_stereo::Plane;

use crate::size::Size;

/// Planes of one size as one tensor (1, C, H, W).
pub(crate) fn stacked(planes: &[&Plane], device: &Device) -> Result<Tensor> {
    let (width, height) = planes.first().map_or((0, 0), |p| (p.width(), p.height()));
    let data = planes.iter().flat_map(|p| p.data()).copied().collect();
    Tensor::from_vec::<_, f32>(data, (1, planes.len(), height, width), &Device::Cpu)?
        .to_device(device)
}

/// Values 0 to 1 as 8-bit ones; `rounding` is a half, or zero to cut off.
pub(crate) fn bytes(plane: &Plane, rounding: f32) -> Vec<u8> {
    plane.data().iter().map(|v| (v.clamp(0.0, 1.0) * 255.0 + rounding) as u8).collect()
}

/// A plane of 8-bit values back in 0 to 1.
pub(crate) fn unit_plane(bytes: &[u8], width: usize, height: usize) -> Plane {
    Plane::new(width, height, bytes.iter().map(|&v| f32::from(v) / 255.0).collect())
}

/// 8-bit planes of one size as one tensor (1, C, H, W).
pub(crate) fn stacked_bytes(
    planes: &[Vec<u8>],
    (width, height): (usize, usize),
    device: &Device,
) -> Result<Tensor> {
    Tensor::from_vec(planes.concat(), (1, planes.len(), height, width), &Device::Cpu)?
        .to_device(device)
}

/// Red, green and blue in 0 to 1 as the networks take them: (1, 3, h, w) in [-1, 1] at `size`.
pub(crate) fn working(rgb: &[Plane; 3], size: Size, device: &Device) -> Result<Tensor> {
    let planes: Vec<&Plane> = rgb.iter().collect();
    let frame = stacked(&planes, device)?;
    let frame = if (rgb[0].width(), rgb[0].height()) == (size.width, size.height) {
        frame
    } else {
        resize_antialiased(&frame, (size.height, size.width))?
    };
    (frame * 2.0)? - 1.0
}

/// The channels of (C, H, W) as planes.
pub(crate) fn planes(picture: &Tensor) -> Result<Vec<Plane>> {
    let (channels, height, width) = picture.dims3()?;
    let picture = picture.to_dtype(DType::F32)?.to_device(&Device::Cpu)?;
    (0..channels)
        .map(|c| Ok(Plane::new(width, height, picture.get(c)?.flatten_all()?.to_vec1()?)))
        .collect()
}
