//! Depth out of a film and into one.

#![allow(clippy::unwrap_used)]

#[path = "depth/bomb.rs"]
mod bomb;

use std::path::{Path, PathBuf};
use std::process::Command;

use parallax_tests::{Clip, Finished, clip, convert, finish, frame_md5s, program};

fn film(folder: &Path, frames: u32) -> PathBuf {
    clip(&folder.join("film.mp4"), Clip { frames, ..Clip::default() })
}

fn export(film: &Path, output: &Path) {
    let mut command = program("parallax");
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

/// The values of an `.npy` that `parallax depth` wrote.
fn values(npy: &Path) -> Vec<f32> {
    let bytes = std::fs::read(npy).unwrap();
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    bytes[start..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// The samples of a film after `filter`.
fn samples(film: &Path, filter: &str, format: &str) -> Vec<u8> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i"]).arg(film).args(["-vf", filter]);
    command.args(["-vsync", "passthrough", "-pix_fmt", format, "-f", "rawvideo", "-"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn grey_video_keeps_sixteen_bits_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let film = film(folder.path(), 10);
    export(&film, &at("depth.npy"));
    export(&film, &at("depth.mkv"));
    let written = samples(&at("depth.mkv"), "null", "gray16le");
    let written: Vec<u16> =
        written.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
    let seen = values(&at("depth.npy"));
    assert_eq!(written.len(), seen.len());
    for (written, seen) in written.iter().zip(&seen) {
        assert!((f32::from(*written) - seen * 65535.0).abs() < 0.51, "{written} for {seen}");
    }
    // And back: not one of the bits is lost.
    let mut command = program("parallax");
    command.arg("depth").arg(&film).args(["--engine", "depth-from", "--depth"]);
    let run = finish(command.arg(at("depth.mkv")).arg("-o").arg(at("again.npy")));
    assert_eq!(run.code, Some(0), "{run:?}");
    for (written, read) in written.iter().zip(values(&at("again.npy"))) {
        assert!((f32::from(*written) - read * 65535.0).abs() < 0.01, "{written} as {read}");
    }
    assert!(written.iter().any(|value| value % 16 != 0), "depth of more than 12 bits");
}

#[test]
fn the_grid_of_two_by_two_goes_out_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let film = film(folder.path(), 10);
    let mut command = program("parallax");
    command.args(["depth", "--grid", "--disparity", "6"]).arg(&film).arg("-o").arg(at("grid.mkv"));
    let run = finish(&mut command);
    assert_eq!(run.code, Some(0), "{run:?}");
    let mut command = convert(&film);
    command.args(["--layout", "right-only", "--crf", "0", "--disparity", "6", "-o"]);
    assert_eq!(finish(command.arg(at("right.mkv"))).code, Some(0));
    let quarter = |x: u32, y: u32| {
        samples(&at("grid.mkv"), &format!("crop=128:72:{x}:{y},extractplanes=y"), "gray")
    };
    let source = samples(&film, "extractplanes=y", "gray");
    assert!(quarter(0, 0) == source, "the source is above on the left");
    let (mask, warped) = (quarter(0, 72), quarter(128, 72));
    let right = samples(&at("right.mkv"), "extractplanes=y", "gray");
    let (mut seen, mut hidden) = (0, 0);
    for ((mask, warped), right) in mask.iter().zip(&warped).zip(&right) {
        match mask {
            16 => {
                seen += 1;
                assert!(warped.abs_diff(*right) <= 1, "{warped} where {right} is seen");
            }
            235 => {
                hidden += 1;
                assert_eq!(*warped, 16, "nothing is invented");
            }
            _ => {}
        }
    }
    assert!(seen > 10 * hidden && hidden > 100, "{seen} and {hidden}");
    // Back as depth: the film of the engine that saw it, but for 8 bits of depth.
    let mut command = convert(&film);
    command.args(["--engine", "depth-from", "--depth-grid", "--depth"]).arg(at("grid.mkv"));
    command.args(["--layout", "right-only", "--crf", "0", "--disparity", "6", "-o"]);
    let run = finish(command.arg(at("back.mkv")));
    assert_eq!(run.code, Some(0), "{run:?}");
    let back = samples(&at("back.mkv"), "extractplanes=y", "gray");
    let apart: u64 = back.iter().zip(&right).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    assert!((apart as f64) < 1.0 * back.len() as f64, "{apart} over {}", back.len());
    let mut command = convert(&film);
    command.args(["--engine", "depth-from", "--depth-grid", "--depth"]).arg(at("depth.npy"));
    export(&film, &at("depth.npy"));
    let run = finish(command.arg("-o").arg(at("none.mp4")));
    assert!(run.error().contains("allowed as a grid is a video only"), "{run:?}");
}
