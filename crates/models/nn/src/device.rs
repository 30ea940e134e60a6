//! Where tensors live: what was asked for or an error, never quietly something else.

use std::fmt;
#[cfg(feature = "cuda")]
use std::path::Path;
use std::str::FromStr;

pub use candle_core::Device;

use crate::cgroup;

/// A kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The processor.
    Cpu,
    /// The first NVIDIA GPU.
    Cuda,
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            _ => Err(format!("{text:?}; allowed are cpu and cuda")),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        })
    }
}

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program has no code for it.
    #[error("this program was built without support for NVIDIA GPUs (feature `cuda`)")]
    NotBuiltIn,
    /// The machine has none.
    #[error("there is no NVIDIA GPU: no driver's device among {}", .0.join(", "))]
    Absent(Vec<&'static str>),
    /// There is one, and it does not work with this program.
    #[error("the GPU cannot be used: {0}")]
    Unusable(String),
}

/// The device that was asked for, after it has computed something.
///
/// # Errors
/// When it cannot be used, and why.
///
/// # Example
/// ```
/// use parallax_nn::device::{Choice, open};
///
/// assert!(open(Choice::Cpu)?.is_cpu());
/// # Ok::<(), parallax_nn::device::Error>(())
/// ```
pub fn open(choice: Choice) -> Result<Device, Error> {
    match choice {
        Choice::Cpu => Ok(Device::Cpu),
        Choice::Cuda => cuda(),
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Result<Device, Error> {
    Err(Error::NotBuiltIn)
}

/// Files that a driver makes, on Linux and on its Windows subsystem.
#[cfg(feature = "cuda")]
const NODES: [&str; 2] = ["/dev/nvidiactl", "/dev/dxg"];

#[cfg(feature = "cuda")]
fn cuda() -> Result<Device, Error> {
    // Asked first, because the library that finds the driver panics without one.
    if !NODES.iter().any(|node| Path::new(node).exists()) {
        return Err(Error::Absent(NODES.to_vec()));
    }
    let opened = std::panic::catch_unwind(|| {
        let device = Device::new_cuda(0)?;
        // Kernels are built for one generation of GPUs on: better to learn it now than in a job.
        let one = candle_core::Tensor::ones(1, candle_core::DType::F16, &device)?;
        let two = (&one + &one)?.to_dtype(candle_core::DType::F32)?.to_vec1::<f32>()?;
        if two != [2.0] {
            candle_core::bail!("it says that 1 + 1 is {two:?}");
        }
        Ok(device)
    });
    match opened {
        Ok(device) => device.map_err(|error| Error::Unusable(error.to_string())),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(Error::Unusable(text.unwrap_or("CUDA's libraries were not found").to_owned()))
        }
    }
}

/// Bytes of the device's memory that are taken, by whatever program, and those that it has; `None`
/// for the processor, whose memory is the process's own.
pub fn memory(device: &Device) -> Option<(u64, u64)> {
    free_and_all(device).map(|(free, all)| (all.saturating_sub(free), all))
}

/// Bytes that are free on `device`, as far as the system tells: of the machine's memory no more than a
/// container's limit leaves.
pub fn free_bytes(device: &Device) -> Option<u64> {
    if let Device::Cpu = device {
        let text = std::fs::read_to_string("/proc/meminfo").ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
        return Some(cgroup::free_bytes().unwrap_or(u64::MAX).min(kib << 10));
    }
    free_and_all(device).map(|(free, _)| free)
}

#[cfg(not(feature = "cuda"))]
fn free_and_all(_: &Device) -> Option<(u64, u64)> {
    None
}

/// The driver's word on this very device, whichever CUDA_VISIBLE_DEVICES made the first.
#[cfg(feature = "cuda")]
fn free_and_all(device: &Device) -> Option<(u64, u64)> {
    let Device::Cuda(cuda) = device else { return None };
    let (free, all) = cuda.cuda_stream().context().mem_get_info().ok()?;
    Some((free as u64, all as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_memory() {
        assert!(free_bytes(&Device::Cpu).unwrap() > 1 << 20);
    }

    #[test]
    fn the_processor_is_always_there_and_names_are_strict() {
        assert!(open("cpu".parse().unwrap()).unwrap().is_cpu());
        assert_eq!(memory(&Device::Cpu), None);
        assert_eq!("cuda".parse::<Choice>().unwrap().to_string(), "cuda");
        assert!("gpu".parse::<Choice>().unwrap_err().contains("allowed are cpu and cuda"));
    }

    /// With and without the feature: a machine without a GPU is told so.
    #[test]
    fn a_missing_gpu_is_an_error_and_not_the_processor() {
        match open(Choice::Cuda) {
            Ok(device) => assert!(device.is_cuda()),
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains("GPU"), "{text}");
            }
        }
    }
}
