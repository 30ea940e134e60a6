//! Clips made by ffmpeg's synthetic sources, and independent ways to look at files.

use std::path::{Path, PathBuf};
use std::process::Command;

use parallax_media::{Decoder, Media, Packets, Tools};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// 24 pictures that all differ, at 24000/1001 per second.
pub(crate) const PICTURES: &str = "testsrc2=size=64x48:rate=24000/1001,trim=end_frame=24";
/// A tone that starts with the pictures.
pub(crate) const TONE: &str = "sine=frequency=440:sample_rate=48000:duration=1";

/// A private folder and the programs.
pub(crate) struct Bench {
    pub(crate) tools: Tools,
    pub(crate) cancel: CancellationToken,
    dir: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let tools = Tools::find().unwrap();
        Self { tools, cancel: CancellationToken::new(), dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes `name` from lavfi `inputs` with output options `options` (split at spaces).
    pub(crate) fn make(&self, name: &str, inputs: &[&str], options: &str) -> PathBuf {
        let mut command = ffmpeg();
        for input in inputs {
            command.args(["-f", "lavfi", "-i", input]);
        }
        let path = self.path(name);
        command.args(options.split_whitespace()).arg(&path);
        succeed(&mut command);
        path
    }

    /// The usual clip: x264 with B-frames and a keyframe every 6 frames.
    pub(crate) fn clip(&self, name: &str) -> PathBuf {
        self.make(name, &[PICTURES], "-c:v libx264 -bf 2 -g 6 -sc_threshold 0 -pix_fmt yuv420p")
    }

    /// Makes `name` from an existing file.
    pub(crate) fn remake(&self, name: &str, source: &Path, options: &str) -> PathBuf {
        let path = self.path(name);
        let options = options.split_whitespace();
        succeed(ffmpeg().arg("-i").arg(source).args(options).arg(&path));
        path
    }

    pub(crate) fn probe(&self, path: &Path) -> Media {
        parallax_media::probe(&self.tools, path, &self.cancel).unwrap()
    }

    pub(crate) fn scan(&self, media: &Media) -> Packets {
        parallax_media::scan(&self.tools, media, &self.cancel).unwrap()
    }

    pub(crate) fn decoder(&self, path: &Path) -> Decoder {
        let media = self.probe(path);
        let shown = self.scan(&media).shown();
        Decoder::open(&self.tools, &media, Some(shown), &self.cancel).unwrap()
    }
}

fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y"]);
    command
}

fn succeed(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// All pictures as ffmpeg itself decodes them, one after another.
pub(crate) fn pictures(path: &Path, pix_fmt: &str) -> Vec<u8> {
    let options = ["-map", "0:v:0", "-vsync", "passthrough", "-pix_fmt", pix_fmt];
    succeed(ffmpeg().arg("-i").arg(path).args(options).args(["-f", "rawvideo", "-"]))
}

/// Presentation times in ticks by ffprobe's decoder, which this project does not use.
pub(crate) fn decoded_times(path: &Path) -> Vec<i64> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-select_streams", "v:0", "-show_entries"]);
    let output = succeed(command.args(["frame=pts", "-of", "csv=p=0"]).arg(path));
    let text = String::from_utf8(output).unwrap();
    text.split_whitespace().map(|line| line.trim_end_matches(',').parse().unwrap()).collect()
}

/// Hash of the packets of the streams that `map` selects, stream copy.
pub(crate) fn packet_md5(path: &Path, map: &str) -> String {
    let options = ["-map", map, "-c", "copy", "-f", "md5", "-"];
    String::from_utf8(succeed(ffmpeg().arg("-i").arg(path).args(options))).unwrap()
}

/// Hash of the decoded samples of the sounds that `map` selects, as 32-bit integers.
pub(crate) fn samples(path: &Path, map: &str) -> String {
    let options = ["-map", map, "-c", "pcm_s32le", "-f", "md5", "-"];
    String::from_utf8(succeed(ffmpeg().arg("-i").arg(path).args(options))).unwrap()
}
