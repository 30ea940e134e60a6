//! The diffusion engine on tiny random models, through the whole command.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use parallax_tests::{
    Clip, Finished, Running, audio_md5, clip, convert, finish, frame_md5s, left_eye_psnr, probe,
    program, video_seconds,
};
use parallax_tiny_weights::File;
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

    /// Changes the values of a tensor of the models.
    fn damage(&self, file: File, tensor: &str, value: impl Fn(usize, f32) -> f32) {
        parallax_tiny_weights::rewrite(&self.path("weights"), file, tensor, value).unwrap();
    }

    /// What lies in the folder.
    fn names(&self) -> Vec<String> {
        let entries = self.folder.path().read_dir().unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// MiB that a conversion takes as its work is cut: what the command says to whoever has less.
    fn least_mib(&self) -> u64 {
        let run = finish(&mut self.convert("least.mp4", &["--memory-limit", "8"]));
        let error = run.error();
        let (_, rest) = error.split_once("take ").unwrap_or_else(|| panic!("{error}"));
        rest.split(' ').next().unwrap().parse().unwrap()
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
    // Licences are told first.
    let events = resumed.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let started = events.into_iter().find(|event| event["event"] == "started").unwrap();
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

#[test]
fn weights_with_a_value_that_is_no_number_are_refused_before_anything_is_made() {
    let studio = Studio::new(5);
    for (value, says) in [(f32::NAN, "1 NaN"), (f32::INFINITY, "1 infinite")] {
        for reference in [&[][..], &["--reference"]] {
            let one = |i, old| if i == 3 { value } else { old };
            studio.damage(File::Inpainting, "conv_out.weight", one);
            let run = finish(&mut studio.convert("out.mp4", reference));
            assert_eq!(run.code, Some(1), "{run:?}");
            let error = run.error();
            let tensor = format!("conv_out.weight ({says} of");
            assert!(error.contains(&tensor) && error.contains("StereoCrafter"), "{error}");
            assert_eq!(studio.names(), ["film.mp4", "weights"]);
        }
    }
}

#[test]
fn what_overflows_f16_is_done_again_in_f32_and_told() {
    let studio = Studio::new(5);
    studio.damage(File::Vae, "decoder.conv_in.weight", |_, _| 65504.0);
    let (out, run) = studio.made("out.mp4", &["--dtype", "f16", "--json"]);
    let events: Vec<Value> =
        run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let retries: Vec<&str> = events
        .iter()
        .filter(|event| event["event"] == "redone")
        .map(|event| event["message"].as_str().unwrap())
        .collect();
    let [depth, inpaint] = retries.as_slice() else { panic!("{run:?}") };
    assert!(depth.starts_with("depth: the VAE's decoder in f16 gave "), "{depth}");
    assert!(depth.contains("for frames 0 to 4; this piece is done again in f32"), "{depth}");
    assert!(inpaint.starts_with("inpaint: the VAE's decoder in f16 gave "), "{inpaint}");
    let completed = events.iter().find(|event| event["event"] == "completed").unwrap();
    assert_eq!(completed["retries"], 2);
    let (again, said) = studio.made("again.mp4", &["--dtype", "f16"]);
    assert_eq!(frame_md5s(&out), frame_md5s(&again));
    assert!(said.stderr.contains("warning: segment 0: depth: the VAE's decoder"), "{said:?}");
    assert!(said.stderr.contains("2 pieces of work were done again"), "{said:?}");
    for told in [
        "warning: the weights of StereoCrafter are not for commercial use (",
        "warning: the weights of Stable Video Diffusion allow commercial use under conditions only (",
    ] {
        assert_eq!(said.stderr.matches(told).count(), 1, "{said:?}");
    }
}

#[test]
fn a_network_that_gives_no_numbers_in_f32_ends_the_conversion_at_once() {
    let studio = Studio::new(5);
    let config = studio.path("weights/stable-video-diffusion-img2vid-xt-1-1/vae/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("0.18215", "0.0")).unwrap();
    for (how, retries) in [(&[][..], 0), (&["--dtype", "f16"], 1)] {
        let run = finish(studio.convert("out.mp4", how).args(["--json", "--restart"]));
        assert_eq!(run.code, Some(1), "{run:?}");
        let error = run.error();
        for part in ["depth: the VAE's decoder in f32 gave ", "NaN of ", "for frames 0 to 4"] {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(run.stdout.matches("\"event\":\"redone\"").count(), retries, "{run:?}");
        assert!(!studio.path("out.mp4").exists());
    }
}

#[test]
fn memory_changes_no_pixel_and_too_little_is_told_before_anything_is_made() {
    let studio = Studio::new(12);
    let (roomy, _) = studio.made("roomy.mp4", &["--memory-limit", "20480"]);
    let (tight, _) = studio.made("tight.mp4", &["--memory-limit", &studio.least_mib().to_string()]);
    assert_eq!(frame_md5s(&roomy), frame_md5s(&tight));
    let less = (studio.least_mib() - 2).to_string();
    let run = finish(&mut studio.convert("out.mp4", &["--memory-limit", &less]));
    let error = run.error();
    for part in [format!("{less} MiB are free"), "70x46 take".into(), "--memory-plan auto".into()] {
        assert!(error.contains(&part), "{error}");
    }
    assert_eq!(studio.names(), ["film.mp4", "roomy.mp4", "tight.mp4", "weights"]);
    // The way on that it names, and its pixels are others.
    let auto = ["--memory-limit", &less, "--memory-plan", "auto"];
    let (auto, _) = studio.made("auto.mp4", &auto);
    assert_ne!(frame_md5s(&roomy), frame_md5s(&auto));
}

#[test]
fn a_conversion_that_was_cut_for_what_was_free_is_not_resumed_with_less() {
    let studio = Studio::new(12);
    let free = |mib: &str| {
        let mut command = studio.convert("out.mp4", &["--memory-plan", "auto", "--json"]);
        command.args(["--memory-limit", mib]);
        command
    };
    let mut run = Running::start(&mut free("20480"));
    while !run.said().0.contains("\"event\":\"started\"") {
        assert!(!run.has_ended(), "{:?}", run.said());
        std::thread::sleep(Duration::from_millis(5));
    }
    run.signal(Signal::SIGKILL);
    run.wait();
    let less = (studio.least_mib() - 2).to_string();
    let other = finish(free(&less).arg("--resume"));
    assert_eq!(other.code, Some(1), "{other:?}");
    let error = other.error();
    assert!(error.contains("decoding 8 frames with 2 around them"), "{error}");
    assert!(error.contains("decoding 4 frames with 2 around them"), "{error}");
}

#[test]
fn halves_go_with_others_and_both_together_are_the_engine() {
    let studio = Studio::new(12);
    let pair = |out: &str, more: &[&str]| {
        let mut command = convert(&studio.source);
        command.args(["--steps", "1", "--weights"]).arg(studio.path("weights"));
        command.arg("-o").arg(studio.path(out)).args(more);
        let run = finish(&mut command);
        assert_eq!(run.code, Some(0), "{run:?}");
        let out = studio.path(out);
        assert_eq!(times(&studio.source), times(&out));
        assert!(left_eye_psnr(&studio.source, &out) >= 40.0);
        frame_md5s(&out)
    };
    let (whole, _) = studio.made("whole.mp4", &[]);
    let both = ["--depth-engine", "depthcrafter", "--inpaint", "stereocrafter"];
    assert_eq!(pair("both.mp4", &both), frame_md5s(&whole));
    // Either half does without the other's model.
    let spare = |model: &str| {
        std::fs::rename(studio.path("weights").join(model), studio.path("spare")).unwrap();
    };
    let back = |model: &str| {
        std::fs::rename(studio.path("spare"), studio.path("weights").join(model)).unwrap();
    };
    spare("StereoCrafter");
    let depth = ["--depth-engine", "depthcrafter", "--inpaint"];
    let mirrored = pair("mirror.mp4", &[&depth[..], &["mirror"]].concat());
    let black = pair("black.mp4", &[&depth[..], &["black"]].concat());
    back("StereoCrafter");
    spare("DepthCrafter");
    let drafted = pair("drafted.mp4", &["--inpaint", "stereocrafter"]);
    back("DepthCrafter");
    let all = [&mirrored, &black, &drafted, &frame_md5s(&whole)];
    for (i, one) in all.iter().enumerate() {
        assert!(all[..i].iter().all(|other| other != one), "{i}");
    }
}

#[test]
fn what_does_not_go_together_is_refused_before_anything_is_made() {
    let studio = Studio::new(5);
    let weights = studio.path("weights");
    let weights = weights.to_str().unwrap();
    for (given, says) in [
        (&["--inpaint", "stereocrafter"][..], "the engine draft+stereocrafter needs --weights DIR"),
        (
            &["--inpaint", "stereocrafter", "--reference"],
            "--reference is for the engines depth-anything, video-depth-anything, stereocrafter,",
        ),
        (
            &["--inpaint", "stereocrafter", "--weights", weights, "--eyes", "both"],
            "draws the right eye",
        ),
        (&["--inpaint", "stereocrafter", "--weights", weights, "--layout", "rgbd"], "layout rgbd"),
        (&["--depth-engine", "depth-from"], "--depth"),
        (
            &["--depth-engine", "draft", "--dtype", "f16"],
            "--dtype is for the engines depth-anything, video-depth-anything, stereocrafter, not draft",
        ),
        (&["--depth-engine", "draft", "--engine", "copy"], "cannot be used with"),
        (&["--inpaint", "black", "--fill", "black"], "cannot be used with"),
        (
            &["--depth-engine", "magic"],
            "allowed are draft, depth-anything, video-depth-anything, depthcrafter, depth-from",
        ),
    ] {
        let mut command = convert(&studio.source);
        let run = finish(command.args(given).env_remove("WEIGHTS_DIR"));
        assert!(run.code != Some(0) && run.stderr.contains(says), "{given:?}: {run:?}");
        assert_eq!(studio.names(), ["film.mp4", "weights"]);
    }
}

#[test]
fn a_conversion_goes_on_with_its_own_halves_alone() {
    let studio = Studio::new(55);
    let pair = |more: &[&str]| {
        let mut command = convert(&studio.source);
        command.args(["--inpaint", "stereocrafter", "--steps", "1", "--weights"]);
        command.arg(studio.path("weights")).arg("-o").arg(studio.path("out.mp4")).args(more);
        command
    };
    let mut run = Running::start(&mut pair(&["--json"]));
    while !run.said().0.contains("\"segment\":1") {
        assert!(!run.has_ended(), "{:?}", run.said());
        std::thread::sleep(Duration::from_millis(5));
    }
    run.signal(Signal::SIGKILL);
    run.wait();
    let other = finish(&mut pair(&["--resume", "--depth-engine", "depthcrafter"]));
    assert!(other.error().contains("draft+stereocrafter"), "{other:?}");
    let resumed = finish(&mut pair(&["--resume"]));
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    assert_eq!(times(&studio.source), times(&studio.path("out.mp4")));
}

#[test]
fn the_first_stage_exports_its_depth_as_any_estimator_does() {
    let studio = Studio::new(12);
    let export = |name: &str, more: &[&str]| {
        let mut command = program("parallax");
        command.arg("depth").arg(studio.path("film.mp4")).arg("-o").arg(studio.path(name));
        finish(command.args(more))
    };
    let weights = studio.path("weights");
    let weights = weights.to_str().unwrap();
    let stage = ["--engine", "depthcrafter", "--steps", "1", "--weights", weights];
    for name in ["one.npy", "two.npy"] {
        let run = export(name, &stage);
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(run.stderr.contains("12 frames"), "{run:?}");
    }
    let bytes = |name: &str| std::fs::read(studio.path(name)).unwrap();
    assert!(bytes("one.npy").windows(13).any(|part| part == b"'shape': (12,"));
    assert_eq!(bytes("one.npy"), bytes("two.npy"), "the same film gives the same depth");
    assert_eq!(export("draft.npy", &[]).code, Some(0));
    assert_ne!(bytes("one.npy"), bytes("draft.npy"));

    for (arguments, said) in [
        (&["--engine", "depthcrafter"][..], "needs --weights DIR"),
        (
            &["--engine", "depthcrafter", "--weights", "/nowhere"],
            "--weights /nowhere: not a folder",
        ),
        (
            &["--engine", "stereocrafter"],
            "allowed are auto, draft, depth-anything, video-depth-anything, depthcrafter, depth-from",
        ),
    ] {
        let run = export("no.npy", arguments);
        assert_ne!(run.code, Some(0), "{run:?}");
        assert!(run.stderr.contains(said), "{said}: {run:?}");
        assert!(!studio.path("no.npy").exists());
    }
}
