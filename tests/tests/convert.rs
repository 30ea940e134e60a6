//! `parallax convert` as a person uses it.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use nix::sys::signal::Signal;
use parallax_tests::{
    Clip, Finished, Running, audio_md5, clip, convert, finish, frame_md5s, left_eye_psnr, probe,
    state_folder, video_seconds,
};
use serde_json::Value;

fn names(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn events(run: &Finished) -> Vec<Value> {
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Converts with both engines and checks what every layout promises.
fn every_engine_keeps_the_promises(layout: &str, name: &str, size: (u32, u32), aspect: &str) {
    for engine in ["copy", "draft"] {
        let folder = tempfile::tempdir().unwrap();
        let source = clip(&folder.path().join("film.mp4"), Clip::default());
        let run = finish(convert(&source).args(["--layout", layout, "--engine", engine, "--json"]));
        assert_eq!(run.code, Some(0), "{run:?}");
        assert_eq!(run.stderr, "", "with --json, trouble only");
        assert_eq!(names(folder.path()), ["film.mp4", name], "named by layout, nothing left over");

        let result = folder.path().join(name);
        let (before, after) = (probe(&source), probe(&result));
        let (old, new) = (&before["streams"][0], &after["streams"][0]);
        assert_eq!(new["nb_read_frames"], old["nb_read_frames"]);
        assert_eq!((&new["width"], &new["height"]), (&size.0.into(), &size.1.into()));
        assert_eq!(new["sample_aspect_ratio"], aspect);
        assert!((video_seconds(&before) - video_seconds(&after)).abs() <= 0.04);
        assert_eq!(audio_md5(&source), audio_md5(&result));
        let times = |path: &Path| -> Vec<String> {
            let time = |line: String| line.split(',').nth(2).unwrap().trim().to_owned();
            frame_md5s(path).into_iter().map(time).collect()
        };
        assert_eq!(times(&source), times(&result));
        if layout == "full-sbs" {
            let psnr = left_eye_psnr(&source, &result);
            assert!(psnr >= 40.0, "{engine}: {psnr} dB");
        }
        the_events_tell_the_story(&run, &source, &result);
    }
}

fn the_events_tell_the_story(run: &Finished, source: &Path, result: &Path) {
    let events = events(run);
    let (first, last) = (&events[0], &events[events.len() - 1]);
    assert_eq!((&first["event"], &last["event"]), (&"started".into(), &"completed".into()));
    let path = |path: &Path| Value::from(path.canonicalize().unwrap().to_str().unwrap());
    assert_eq!((&first["input"], &first["frames"]), (&path(source), &80.into()));
    assert_eq!((&last["output"], &last["frames"]), (&path(result), &80.into()));
    let of = |kind: &str, field: &str| -> Vec<u64> {
        let chosen = events.iter().filter(|event| event["event"] == kind);
        chosen.filter_map(|event| event[field].as_u64()).collect()
    };
    let (done, frames) = (of("segments", "done"), of("progress", "frames"));
    assert!(done.is_sorted() && frames.is_sorted(), "{events:?}");
    let total = of("segments", "total");
    assert!(total[0] >= 2 && total.iter().all(|t| *t == total[0]), "{events:?}");
    assert_eq!(done.last(), total.last(), "the last segment is told too");
    assert!(of("progress", "total").iter().all(|total| *total == 80));
}

#[test]
fn full_side_by_side_keeps_frames_times_sound_and_the_left_eye() {
    every_engine_keeps_the_promises("full-sbs", "film_LRF_Full_SBS.mp4", (256, 72), "1:1");
}

#[test]
fn half_side_by_side_keeps_frames_times_and_sound() {
    every_engine_keeps_the_promises("half-sbs", "film_LR.mp4", (128, 72), "2:1");
}

#[test]
fn anaglyph_keeps_frames_times_and_sound() {
    every_engine_keeps_the_promises("anaglyph", "film_redcyan_color.mp4", (128, 72), "1:1");
}

#[test]
fn ctrl_c_leaves_a_state_that_resume_continues() {
    let folder = tempfile::tempdir().unwrap();
    // So long that most of it is left when the first segment is done, one after another.
    let shape = Clip { frames: 200, ..Clip::default() };
    let source = clip(&folder.path().join("film.mp4"), shape);
    let (plain, out) = (folder.path().join("plain.mp4"), folder.path().join("out.mp4"));
    assert_eq!(finish(convert(&source).arg("-o").arg(&plain)).code, Some(0));

    let mut command = convert(&source);
    let one_by_one = ["--json", "--jobs", "1"];
    let mut run = Running::start(command.arg("-o").arg(&out).args(one_by_one));
    // In the middle: one segment is done, another is not.
    while !run.said().0.contains("\"done\":1") {
        assert!(!run.has_ended(), "{:?}", run.said());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    run.signal(Signal::SIGINT);
    let run = run.wait();
    assert_eq!(run.code, Some(130), "{run:?}");
    assert_eq!(events(&run).last().unwrap()["event"], "interrupted");
    let kept = state_folder(folder.path()).unwrap();
    let kept = kept.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(kept.len() < 32, "short whatever the film is called: {kept}");
    assert_eq!(names(folder.path()), [&kept, "film.mp4", "plain.mp4"]);

    let again = finish(convert(&source).arg("-o").arg(&out));
    let error = again.error();
    assert!(error.contains("--resume") && error.contains("--restart"), "{error}");
    let other = finish(convert(&source).arg("-o").arg(&out).args(["--resume", "--crf", "30"]));
    let error = other.error();
    assert!(error.contains("crf was 16 and is 30") && error.contains("--restart"), "{error}");

    let resumed = finish(convert(&source).arg("-o").arg(&out).args(["--resume", "--json"]));
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    assert!(events(&resumed)[0]["frames_done"].as_u64() >= Some(1), "{resumed:?}");
    assert_eq!(names(folder.path()), ["film.mp4", "out.mp4", "plain.mp4"]);
    assert_eq!(frame_md5s(&out), frame_md5s(&plain));
    assert_eq!(audio_md5(&out), audio_md5(&source));
}
