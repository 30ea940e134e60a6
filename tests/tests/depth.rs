//! Depth out of a film and into one.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use parallax_tests::{Clip, Finished, bin, clip, convert, finish, frame_md5s};

fn film(folder: &Path, frames: u32) -> PathBuf {
    clip(&folder.join("film.mp4"), Clip { frames, ..Clip::default() })
}

fn export(film: &Path, output: &Path) {
    let mut command = Command::new(bin("parallax"));
    let run = finish(command.arg("depth").arg(film).arg("-o").arg(output));
    assert_eq!(run.code, Some(0), "{run:?}");
}

fn convert_with(film: &Path, depth: &Path, output: &Path) -> Finished {
    let mut command = convert(film);
    command.args(["--engine", "depth-from", "--depth"]).arg(depth).arg("-o").arg(output);
    finish(&mut command)
}

#[test]
fn exported_depth_gives_the_film_of_the_engine_that_saw_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let film = film(folder.path(), 10);
    let mut command = convert(&film);
    // So short that it is one segment, as a film with depth from a file always is.
    command.arg("-o").arg(at("draft.mp4"));
    assert_eq!(finish(&mut command).code, Some(0));
    for name in ["depth.npy", "depth.npz"] {
        export(&film, &at(name));
        let output = at(&format!("{name}.mp4"));
        let run = convert_with(&film, &at(name), &output);
        assert_eq!(run.code, Some(0), "{run:?}");
        assert_eq!(frame_md5s(&output), frame_md5s(&at("draft.mp4")), "{name}");
    }
    export(&film, &at("pictures"));
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i"]).arg(at("pictures").join("%06d.png"));
    command.args(["-pix_fmt", "gray16le", "-c:v", "ffv1"]).arg(at("depth.mkv"));
    assert!(command.status().unwrap().success());
    for name in ["pictures", "depth.mkv"] {
        let output = at(&format!("{name}.out.mp4"));
        let run = convert_with(&film, &at(name), &output);
        assert_eq!(run.code, Some(0), "{run:?}");
        assert_eq!(frame_md5s(&output).len(), 10, "{name}");
    }
}

#[test]
fn depth_of_another_length_or_shape_is_refused_with_both() {
    let folder = tempfile::tempdir().unwrap();
    let film = film(folder.path(), 10);
    let source = |name: &str, filter: &str| {
        let path = folder.path().join(name);
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", filter]);
        command.args(["-pix_fmt", "gray", "-c:v", "ffv1"]).arg(&path);
        assert!(command.status().unwrap().success());
        path
    };
    for (name, filter, says) in [
        (
            "short.mkv",
            "color=gray:s=128x72:r=25,trim=end_frame=7",
            "depth of 7 frames for a film of 10",
        ),
        (
            "tall.mkv",
            "color=gray:s=72x128:r=25,trim=end_frame=10",
            "depth of 72x128 for frames of 128x72",
        ),
    ] {
        let run = convert_with(&film, &source(name, filter), &folder.path().join("out.mp4"));
        let error = run.error();
        assert!(error.contains(name) && error.contains(says), "{error}");
    }
    let run = finish(convert(&film).args(["--engine", "depth-from"]));
    assert!(run.stderr.contains("--depth"), "{run:?}");
}

#[test]
fn the_convention_of_near_can_be_turned_round() {
    let folder = tempfile::tempdir().unwrap();
    let film = film(folder.path(), 4);
    let depth = folder.path().join("depth.mkv");
    let mut command = Command::new("ffmpeg");
    let ramp = "nullsrc=s=128x72:r=25,geq=lum='2*X':cb=128:cr=128,trim=end_frame=4";
    command.args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", ramp]);
    command.args(["-pix_fmt", "gray", "-c:v", "ffv1"]).arg(&depth);
    assert!(command.status().unwrap().success());
    let shown = |near: &str| {
        let output = folder.path().join(format!("{near}.mp4"));
        let mut command = convert(&film);
        command.args(["--engine", "depth-from", "--depth-near", near, "--layout", "rgbd"]);
        let run = finish(command.arg("--depth").arg(&depth).arg("-o").arg(&output));
        assert_eq!(run.code, Some(0), "{run:?}");
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-nostdin", "-i"]).arg(&output).args(["-frames:v", "1"]);
        command.args(["-pix_fmt", "gray", "-f", "rawvideo", "-"]);
        let samples = command.output().unwrap().stdout;
        // The right half of the first row: the depth's left and right end.
        (samples[128 + 4], samples[255 - 4])
    };
    let (white, black) = (shown("white"), shown("black"));
    assert!(white.0 < 60 && white.1 > 200, "{white:?}");
    assert!(black.0 > 200 && black.1 < 60, "{black:?}");
}
