//! What a user may choose of an engine.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use parallax_stereo::{DepthModel, Engine};

/// An option that some engines take and others do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// [`Choices::weights`].
    Weights,
    /// [`Choices::reference`].
    Reference,
    /// [`Choices::steps`].
    Steps,
    /// [`Choices::device`].
    Device,
    /// [`Choices::dtype`].
    Dtype,
    /// [`Choices::memory_plan`].
    MemoryPlan,
    /// [`Choices::memory_limit`].
    MemoryLimit,
    /// [`Choices::depth`].
    Depth,
    /// [`Choices::model`].
    Model,
    /// [`Choices::depth_size`].
    DepthSize,
    /// [`Choices::depth_curve`].
    DepthCurve,
    /// [`Choices::depth_every`].
    DepthEvery,
    /// [`Choices::depth_mode`].
    DepthMode,
}

/// What a user chose. An engine reads those fields that its spec takes.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    /// The folder of the models.
    pub weights: Option<PathBuf>,
    /// Whether to compute what was published, quirks included.
    pub reference: bool,
    /// Denoising steps. Defaults to the engine's own.
    pub steps: Option<u32>,
    /// Where networks run.
    pub device: Device,
    /// The type that networks compute in. Defaults to what suits the device.
    pub dtype: Option<Dtype>,
    /// Memory that work is cut for; pixels depend on it. Defaults to the engine's own.
    pub memory_plan: Option<MemoryPlan>,
    /// Bytes of the device that may be taken at most; no pixel depends on it. Defaults to what is free.
    pub memory_limit: Option<u64>,
    /// The depth that the user brings, opened.
    pub depth: Option<Brought>,
    /// Which of an engine's models, by its published name. Defaults to the first whose weights are there.
    pub model: Option<String>,
    /// Shorter side in pixels of the picture that a depth network sees. Defaults to what suits the device.
    pub depth_size: Option<u32>,
    /// How far the camera steps back from what a depth network saw, -3 to 3. Defaults to 0.
    pub depth_curve: Option<f32>,
    /// The depth network sees every so many-th frame. Defaults to 1.
    pub depth_every: Option<u32>,
    /// How a depth network of films sees a shot. Defaults to windows.
    pub depth_mode: Option<DepthMode>,
}

impl Choices {
    /// Whether the user chose this. Never so of what may come from the environment for other engines'
    /// sake ([`Choice::Weights`]) or has a default that cannot be told from a choice.
    pub fn chosen(&self, choice: Choice) -> bool {
        match choice {
            Choice::Reference => self.reference,
            Choice::Dtype => self.dtype.is_some(),
            Choice::MemoryPlan => self.memory_plan.is_some(),
            Choice::MemoryLimit => self.memory_limit.is_some(),
            Choice::Depth => self.depth.is_some(),
            Choice::Model => self.model.is_some(),
            Choice::DepthSize => self.depth_size.is_some(),
            Choice::DepthCurve => self.depth_curve.is_some(),
            Choice::DepthEvery => self.depth_every.is_some(),
            Choice::DepthMode => self.depth_mode.is_some(),
            Choice::Weights | Choice::Steps | Choice::Device => false,
        }
    }
}

/// Depth that a user brings: an engine by itself, and half of others.
#[derive(Debug, Clone)]
pub struct Brought {
    /// With the fills of the warp.
    pub engine: Arc<dyn Engine>,
    /// For any inpainter.
    pub depth: Arc<dyn DepthModel>,
}

/// Where networks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// The first NVIDIA GPU.
    Cuda,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        })
    }
}

/// How a depth network of films sees a shot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DepthMode {
    /// Many frames together, window by window.
    #[default]
    Windows,
    /// Each frame with those before it.
    Streaming,
}

impl FromStr for DepthMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "windows" => Ok(Self::Windows),
            "streaming" => Ok(Self::Streaming),
            _ => Err(format!("{text:?}; allowed are windows and streaming")),
        }
    }
}

impl fmt::Display for DepthMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Windows => "windows",
            Self::Streaming => "streaming",
        })
    }
}

/// A type of elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// Half precision with the range of single precision.
    Bf16,
}

/// What work is cut for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryPlan {
    /// What is free at the start.
    Auto,
    /// So many GiB.
    Gib(u64),
}

impl FromStr for MemoryPlan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let gib = text.parse().ok().filter(|gib| (1..=4096).contains(gib));
        gib.map(Self::Gib).ok_or_else(|| format!("{text:?}; allowed are auto and 1 to 4096"))
    }
}

impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Gib(gib) => write!(f, "{gib}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_written_as_they_are_read() {
        for text in ["auto", "1", "24", "4096"] {
            assert_eq!(text.parse::<MemoryPlan>().unwrap().to_string(), text);
        }
        for text in ["windows", "streaming"] {
            assert_eq!(text.parse::<DepthMode>().unwrap().to_string(), text);
        }
        assert!("Windows".parse::<DepthMode>().is_err());
        for text in ["0", "4097", "-1", "Auto", ""] {
            assert!(text.parse::<MemoryPlan>().is_err(), "{text:?}");
        }
    }
}
