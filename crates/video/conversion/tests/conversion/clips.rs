//! Small clips, ways to look at files, and what conversions are given.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use parallax_conformance::memory::MemoryObjects;
use parallax_conversion::{Conversion, Error, Report, Surroundings, Workplace, convert_segment};
use parallax_job::{Bucket, Buckets, Scheme};
use parallax_media::{DecodeOptions, EncodeSettings, Tools};
use parallax_ports::SystemClock;
use parallax_stereo::{Engine, Layout, Run};
use tempfile::TempDir;

pub(crate) const PICTURES: &str = "testsrc2=size=64x48:rate=24000/1001,trim=end_frame=24";
pub(crate) const TONE: &str = "sine=frequency=440:sample_rate=48000:duration=1";
pub(crate) const ENCODE: &str = "-c:v libx264 -bf 2 -g 6 -sc_threshold 0 -pix_fmt yuv420p";

pub(crate) fn make(dir: &TempDir, name: &str, inputs: &[&str], options: &str) -> PathBuf {
    let path = dir.path().join(name);
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y"]);
    for input in inputs {
        command.args(["-f", "lavfi", "-i", input]);
    }
    assert!(command.args(options.split_whitespace()).arg(&path).status().unwrap().success());
    path
}

/// Samples of the first video stream, after `filter`.
pub(crate) fn samples(path: &Path, filter: &str) -> Vec<u8> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i"]).arg(path);
    command.args(["-vf", filter, "-vsync", "passthrough", "-f", "rawvideo", "-"]);
    let output = command.output().unwrap();
    assert!(output.status.success());
    output.stdout
}

pub(crate) fn text(program: &str, before: &[&str], path: &Path, after: &[&str]) -> String {
    let output = Command::new(program).args(before).arg(path).args(after).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn times(path: &Path) -> Vec<i64> {
    let show = ["-v", "error", "-select_streams", "v:0", "-show_entries", "frame=pts"];
    let lines = text("ffprobe", &show, path, &["-of", "csv=p=0"]);
    lines.split_whitespace().map(|line| line.trim_end_matches(',').parse().unwrap()).collect()
}

pub(crate) fn lossless() -> EncodeSettings {
    EncodeSettings { lossless: true, preset: "ultrafast".into(), ..Default::default() }
}

pub(crate) fn convert(
    input: &Path,
    output: &Path,
    layout: Layout,
    engine: &dyn Engine,
    run: &Run,
) -> Result<Report, Error> {
    let tools = Tools::find().unwrap();
    let conversion = Conversion {
        input,
        output,
        layout,
        encode: lossless(),
        decode: DecodeOptions::default(),
        full_chroma: false,
        around: &Surroundings::default(),
    };
    convert_segment(&tools, &conversion, engine, run, &|_| ())
}

pub(crate) fn workplace(dir: &TempDir) -> Workplace {
    let bucket = |name: &str| Bucket::Cloud { scheme: Scheme::S3, name: name.to_owned() };
    Workplace {
        tools: Tools::find().unwrap(),
        objects: Arc::new(MemoryObjects::new(Arc::new(SystemClock), Vec::new())),
        buckets: Buckets { input: bucket("input"), output: bucket("output") },
        scratch: dir.path().to_owned(),
        film: None,
    }
}
