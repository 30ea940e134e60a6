//! `parallax-scene`: renders the sample film through ffmpeg.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use parallax_scene::{Camera, Eye, Film, Scene, Stereo};

/// Renders a textured scene with a moving camera: the left eye with sound and, when asked for,
/// the true right eye and the true depth.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Args {
    /// The film to make: the left eye, H.264 and AAC.
    out: PathBuf,
    /// Where to put the true right eye, lossless (.mkv).
    #[arg(long)]
    right: Option<PathBuf>,
    /// Where to put the true depth as 16-bit grey, lossless (.mkv): 0 farthest, 65535 nearest.
    #[arg(long)]
    depth: Option<PathBuf>,
    /// Length in seconds.
    #[arg(long, default_value_t = 5.0)]
    seconds: f32,
    /// Frames per second.
    #[arg(long, default_value_t = 24)]
    rate: u32,
    /// Width in pixels, even.
    #[arg(long, default_value_t = 960)]
    width: u32,
    /// Height in pixels, even.
    #[arg(long, default_value_t = 540)]
    height: u32,
    /// Range of parallax of the true right eye, in percent of the width.
    #[arg(long, default_value_t = 2.0)]
    disparity: f32,
    /// What is before the camera: square, grove or gallery.
    #[arg(long, default_value = "square")]
    scene: Scene,
    /// Have the camera stand still.
    #[arg(long)]
    tripod: bool,
    /// The depth that appears at the screen.
    #[arg(long, default_value_t = 0.5)]
    convergence: f32,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let sizes = args.width >= 2 && args.height >= 2 && args.width % 2 + args.height % 2 == 0;
    ensure!(sizes, "{}x{}: width and height must be even", args.width, args.height);
    let stereo = Stereo { disparity_percent: args.disparity, convergence: args.convergence };
    let camera = if args.tripod { Camera::Tripod } else { Camera::Truck };
    let (width, height, scene) = (args.width, args.height, args.scene);
    let film = Film { width, height, stereo, scene, camera, samples: 2 };
    let mut left = ffmpeg(&args, "yuv444p", &args.out, true)?;
    let mut right = match &args.right {
        Some(path) => Some(ffmpeg(&args, "yuv444p", path, false)?),
        None => None,
    };
    let mut depth = match &args.depth {
        Some(path) => Some(ffmpeg(&args, "gray16le", path, false)?),
        None => None,
    };
    let frames = (args.seconds * args.rate as f32).round() as i64;
    for n in 0..frames {
        let seconds = n as f32 / args.rate as f32;
        let view = film.view(Eye::Left, seconds, n);
        write(&mut left, view.frame.data())?;
        if let Some(depth) = &mut depth {
            let value = |d: &f32| (d.clamp(0.0, 1.0) * 65535.0).round() as u16;
            let bytes: Vec<u8> = view.depth.iter().flat_map(|d| value(d).to_le_bytes()).collect();
            write(depth, &bytes)?;
        }
        if let Some(right) = &mut right {
            write(right, film.view(Eye::Right, seconds, n).frame.data())?;
        }
    }
    for child in [Some(left), right, depth].into_iter().flatten() {
        finish(child)?;
    }
    println!("{}: {frames} frames", args.out.display());
    Ok(())
}

fn ffmpeg(args: &Args, pixels: &str, out: &Path, sound: bool) -> Result<Child> {
    let size = format!("{}x{}", args.width, args.height);
    let rate = args.rate.to_string();
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-loglevel", "error", "-y", "-f", "rawvideo"]);
    command.args(["-pix_fmt", pixels, "-s", &size, "-r", &rate, "-i", "pipe:0"]);
    if sound {
        let tone = format!("sine=frequency=220:beep_factor=4:duration={}", args.seconds);
        command.args(["-f", "lavfi", "-i", &tone, "-c:a", "aac", "-c:v", "libx264"]);
        command.args(["-crf", "12", "-pix_fmt", "yuv420p", "-g", &rate]);
        command.args(["-colorspace", "bt709", "-color_primaries", "bt709"]);
        command.args(["-color_trc", "bt709", "-color_range", "tv", "-movflags", "+faststart"]);
    } else {
        command.args(["-c:v", "ffv1"]);
    }
    command.arg(out).stdin(Stdio::piped()).spawn().context("start ffmpeg: is it installed?")
}

fn write(child: &mut Child, bytes: &[u8]) -> Result<()> {
    let pipe = child.stdin.as_mut().context("ffmpeg has no input")?;
    pipe.write_all(bytes).context("ffmpeg stopped early; its message is above")
}

fn finish(mut child: Child) -> Result<()> {
    drop(child.stdin.take());
    let status = child.wait().context("wait for ffmpeg")?;
    ensure!(status.success(), "ffmpeg failed: {status}; its message is above");
    Ok(())
}
