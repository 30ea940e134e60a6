//! Where tensors live.

use candle_core::{Device, Result};

/// The processor, or with `cuda` the first GPU.
///
/// # Errors
/// When there is no usable GPU, or this build has no support for any.
pub fn device(cuda: bool) -> Result<Device> {
    if cuda { Device::new_cuda(0) } else { Ok(Device::Cpu) }
}
