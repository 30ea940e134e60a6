//! Small clips, made by ffmpeg's own sources.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What to make.
#[derive(Debug, Clone, Copy)]
pub struct Clip {
    /// Width and height.
    pub size: (u32, u32),
    /// Length at 25 frames per second, with a keyframe every 12.
    pub frames: u32,
    /// Options of the encoder, apart from those.
    pub encoder: &'static [&'static str],
}

impl Default for Clip {
    fn default() -> Self {
        Self { size: (128, 72), frames: 80, encoder: &["-preset", "ultrafast"] }
    }
}

/// Makes a clip with a moving picture and a tone.
pub fn clip(path: &Path, clip: Clip) -> PathBuf {
    let Clip { size: (width, height), frames, encoder } = clip;
    let seconds = f64::from(frames) / 25.0;
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i"]);
    command.arg(format!("testsrc2=s={width}x{height}:r=25:d={seconds}"));
    command.args(["-f", "lavfi", "-i", &format!("sine=f=440:d={seconds}")]);
    command.args(["-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "12", "-keyint_min", "12"]);
    command.args(encoder).args(["-c:a", "aac", "-b:a", "64k"]).arg(path);
    let status = command.status().expect("ffmpeg is needed");
    assert!(status.success(), "{command:?}");
    path.to_owned()
}
