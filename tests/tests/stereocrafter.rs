//! The diffusion engine on tiny random models, through the whole command.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use parallax_tests::{
    Clip, Finished, Running, audio_md5, clip, convert, finish, frame_md5s, left_eye_psnr, probe,
    video_seconds,
};
use serde_json::Value;

/// A clip of two segments, and tiny models beside it.
struct Studio {
    folder: tempfile::TempDir,
    source: PathBuf,
}

impl Studio {
    fn new(frames: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        parallax_tiny_weights::write(&folder.path().join("weights"), 3).unwrap();
        let encoder = &["-preset", "ultrafast", "-g", "5"];
        let shape = Clip { size: (70, 46), frames, encoder };
        let source = clip(&folder.path().join("film.mp4"), shape);
        Self { folder, source }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command that makes `out`, at one denoising step.
    fn convert(&self, out: &str, more: &[&str]) -> Command {
        let mut command = convert(&self.source);
        command.args(["--engine", "stereocrafter", "--steps", "1", "--weights"]);
        command.arg(self.path("weights")).arg("-o").arg(self.path(out)).args(more);
        command
    }

    fn made(&self, out: &str, more: &[&str]) -> (PathBuf, Finished) {
        let run = finish(&mut self.convert(out, more));
        assert_eq!(run.code, Some(0), "{run:?}");
        (self.path(out), run)
    }
}

fn times(path: &Path) -> Vec<String> {
    let time = |line: String| line.split(',').nth(2).unwrap().trim().to_owned();
    frame_md5s(path).into_iter().map(time).collect()
}

#[test]
fn it_keeps_frames_times_sound_and_the_left_eye_and_follows_the_seed() {
    let studio = Studio::new(40);
    let (out, run) = studio.made("out.mp4", &["--json"]);
    let (before, after) = (probe(&studio.source), probe(&out));
    assert_eq!(
        (&after["streams"][0]["width"], &after["streams"][0]["height"]),
        (&140.into(), &46.into())
    );
    assert!((video_seconds(&before) - video_seconds(&after)).abs() <= 0.04);
    assert_eq!(times(&studio.source), times(&out));
    assert_eq!(audio_md5(&studio.source), audio_md5(&out));
    let psnr = left_eye_psnr(&studio.source, &out);
    assert!(psnr >= 40.0, "{psnr} dB");

    let events: Vec<Value> =
        run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for stage in ["depth", "warp", "inpaint"] {
        let told = events.iter().any(|event| event["event"] == "stage" && event["stage"] == stage);
        assert!(told, "{stage}: {events:?}");
    }
    let (again, _) = studio.made("again.mp4", &[]);
    let (other, _) = studio.made("other.mp4", &["--seed", "1"]);
    assert_eq!(frame_md5s(&out), frame_md5s(&again));
    assert_ne!(frame_md5s(&out), frame_md5s(&other));
}

#[test]
fn a_killed_conversion_resumes_to_the_same_frames_and_other_models_are_refused() {
    let studio = Studio::new(55);
    let (plain, _) = studio.made("plain.mp4", &[]);
    let mut run = Running::start(studio.convert("out.mp4", &[]).arg("--json"));
    // In the middle of a segment: one is done, and the next has begun.
    while !run.said().0.contains("\"segment\":1") {
        assert!(!run.has_ended(), "{:?}", run.said());
        std::thread::sleep(Duration::from_millis(5));
    }
    run.signal(Signal::SIGKILL);
    run.wait();
    assert!(!studio.path("out.mp4").exists());

    let other = finish(&mut studio.convert("out.mp4", &["--resume", "--reference"]));
    assert!(other.error().contains("default, 1 steps"), "{other:?}");
    let (out, resumed) = studio.made("out.mp4", &["--resume", "--json"]);
    let started: Value = serde_json::from_str(resumed.stdout.lines().next().unwrap()).unwrap();
    assert!(started["frames_done"].as_u64() >= Some(1), "{started}");
    assert_eq!(frame_md5s(&out), frame_md5s(&plain));
    assert_eq!(audio_md5(&out), audio_md5(&studio.source));
}

#[test]
fn what_is_wrong_with_the_models_is_told_before_anything_is_made() {
    let studio = Studio::new(5);
    let weights = studio.path("weights");
    let mut bare = convert(&studio.source);
    let bare = finish(bare.args(["--engine", "stereocrafter"]).env_remove("WEIGHTS_DIR"));
    assert!(bare.error().contains("--weights"), "{bare:?}");
    let run = finish(&mut studio.convert("out.mp4", &["--dtype", "bf16"]));
    assert!(run.error().contains("--dtype: bf16"), "{run:?}");
    let (depth, inpainting) = (weights.join("DepthCrafter"), weights.join("StereoCrafter"));
    let swapped = studio.path("swapped");
    std::fs::rename(&depth, &swapped).unwrap();
    std::fs::rename(inpainting.join("unet_diffusers"), &depth).unwrap();
    std::fs::rename(&swapped, inpainting.join("unet_diffusers")).unwrap();
    let run = finish(&mut studio.convert("out.mp4", &[]));
    let error = run.error();
    assert!(error.contains("DepthCrafter") && error.contains("9 input channels"), "{error}");
    let run = finish(convert(&studio.source).arg("--reference"));
    assert!(run.error().contains("--reference"), "{run:?}");
    let left = studio.folder.path().read_dir().unwrap().count();
    assert_eq!(left, 2, "the film and the models");
}
