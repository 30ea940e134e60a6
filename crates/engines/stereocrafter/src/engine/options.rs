//! What a user chooses.

use std::time::Duration;

use candle_core::DType;
use parallax_stereo::{Capabilities, Error, Reach, Rendering, Run, Staging};

use crate::depth::DepthOptions;
use crate::plan::Pieces;
use crate::stages::Stages;

/// The engine's name.
pub const NAME: &str = "stereocrafter";
/// How far back a shot is looked at before a clip that begins in it. All of that is denoised for depth, so
/// it is a compromise: most shots are shorter, and of others the range of depth may differ a little.
const SHOT: Duration = Duration::from_secs(10);

/// Choices of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Whether to compute what the published pipeline computes, quirks included. Defaults to false.
    pub reference: bool,
    /// Denoising steps of either stage, 1 to 100. Defaults to 8.
    pub steps: usize,
    /// The stages that run. Defaults to both.
    pub stages: Stages,
    /// How much is worked on at once, which pixels depend on. Defaults to what suits a GPU of 24 GB.
    pub pieces: Pieces,
    /// Bytes of the device that may be taken at most; no pixel depends on it. Defaults to what is free
    /// when a clip is begun.
    pub memory_limit: Option<u64>,
    /// Type of the denoisers and of decoding, see [`crate::Precision::on`]. Defaults to f32 on the processor and
    /// f16 on a GPU.
    pub dtype: Option<DType>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            reference: false,
            steps: 8,
            stages: Stages::default(),
            pieces: Pieces::default(),
            memory_limit: None,
            dtype: None,
        }
    }
}

/// Of an engine with these options, wherever its weights are.
impl Capabilities for Options {
    fn check(&self, run: &Run) -> Result<(), Error> {
        run.geometry.validate()?;
        if self.stages.inpainting() && run.rendering != Rendering::default() {
            return Err(Error::Unsupported(format!(
                "the engine {NAME} draws the right eye and invents what was hidden: other eyes, hole \
                 fills and the layout rgbd are for engines that draw from depth"
            )));
        }
        if self.reference && run.staging != Staging::default() {
            return Err(Error::Unsupported(format!(
                "the engine {NAME} as the reference has a fixed convergence, no limits of parallax and \
                 no bars"
            )));
        }
        Ok(())
    }

    /// The reference knows of nothing but the clip.
    fn reach(&self, run: &Run) -> Reach {
        if self.reference {
            return Reach::default();
        }
        if !self.stages.depth() {
            // Noise is that of the shot's frames.
            return Reach { back: run.reach().back.max(SHOT), within_shot: true, ahead: 0 };
        }
        // The depth of a frame is settled by the windows that it is in, and decoded with others.
        let DepthOptions { window, codec_chunk, decode_context, .. } = DepthOptions::preferred();
        Reach {
            back: run.reach().back.max(SHOT),
            within_shot: true,
            ahead: window + codec_chunk + decode_context,
        }
    }
}
