//! What a file is told to be, and what a conversion is shown to become.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use parallax_tests::{Clip, clip, convert, finish, probe, program};
use serde_json::Value;

fn ffmpeg(before: &[&str], inputs: &[&Path], after: &[&str]) -> Vec<u8> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y"]).args(before);
    for input in inputs {
        command.arg("-i").arg(input);
    }
    let output = command.args(after).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A scene with true depth: the left eye, and the right eye and the depth beside it.
fn scene(folder: &Path, disparity: &str) -> [PathBuf; 3] {
    let [left, right, depth] = ["left.mp4", "right.mkv", "depth.mkv"].map(|n| folder.join(n));
    let mut command = program("parallax-scene");
    command.arg(&left).arg("--right").arg(&right).arg("--depth").arg(&depth);
    command.args([
        "--seconds",
        "0.5",
        "--width",
        "480",
        "--height",
        "270",
        "--disparity",
        disparity,
    ]);
    assert_eq!(finish(&mut command).code, Some(0));
    [left, right, depth]
}

fn inspect(path: &Path, more: &[&str]) -> Value {
    let mut command = program("parallax");
    let run = finish(command.arg("inspect").arg(path).arg("--json").args(more));
    assert_eq!(run.code, Some(0), "{run:?}");
    serde_json::from_str(&run.stdout).unwrap()
}

#[test]
fn measured_limits_are_those_of_the_true_depth() {
    let folder = tempfile::tempdir().unwrap();
    let [left, right, depth] = scene(folder.path(), "4");
    let both = folder.path().join("both.mkv");
    let stack = ["-lavfi", "hstack", "-an", "-c:v", "libx264", "-qp", "4", "-pix_fmt", "yuv420p"];
    let out = both.to_str().unwrap();
    ffmpeg(&[], &[&left, &right], &[&stack[..], &[out]].concat());
    let samples = ffmpeg(&[], &[&depth], &["-pix_fmt", "gray16le", "-f", "rawvideo", "-"]);
    // Depth 0.5 is at the screen, and 4 % of the width lie between far and near.
    let parallax = |b: &[u8]| 4.0 * (0.5 - f64::from(u16::from_le_bytes([b[0], b[1]])) / 65535.0);
    let mut truth: Vec<f64> = samples.chunks_exact(2).map(parallax).collect();
    truth.sort_by(f64::total_cmp);
    let report = inspect(&both, &[]);
    assert_eq!(report["layout"]["guessed"], "full-sbs", "{report}");
    assert_eq!(report["layout"]["declared"], Value::Null);
    let found = &report["parallax"];
    for (name, share) in [
        ("crossed_limit_percent", 0.01),
        ("median_percent", 0.5),
        ("uncrossed_limit_percent", 0.99),
    ] {
        let wanted = truth[(share * (truth.len() - 1) as f64) as usize];
        let found = found[name].as_f64().unwrap();
        assert!((found - wanted).abs() < 0.35, "{name}: {found}, in truth {wanted}");
    }
    let occluded = found["occlusion_share"].as_f64().unwrap();
    assert!((0.002..0.2).contains(&occluded), "{occluded}");
    assert_eq!(found["frames"], 12);
    let shares: f64 = found["histogram"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bar| bar["share"].as_f64().unwrap())
        .sum();
    assert!((shares - 1.0).abs() < 1e-9, "{shares}");
    // The eyes the wrong way round put what is near behind the screen.
    let crossed = inspect(&both, &["--layout", "cross-eyed"]);
    let turned = crossed["parallax"]["median_percent"].as_f64().unwrap();
    assert!((turned + found["median_percent"].as_f64().unwrap()).abs() < 0.35, "{turned}");
}

#[test]
fn layouts_are_told_by_their_marks_their_names_and_their_looks() {
    let folder = tempfile::tempdir().unwrap();
    let [left, ..] = scene(folder.path(), "4");
    let flat = inspect(&left, &[]);
    for how in ["declared", "named", "guessed", "used"] {
        assert_eq!(flat["layout"][how], Value::Null, "{how}: {flat}");
    }
    assert_eq!(flat["parallax"], Value::Null);
    // Pictures do not tell which eye is which, and half a sphere looks like half a width.
    for (layout, looks, stereo) in [
        ("full-sbs", Some("full-sbs"), Some("full-sbs")),
        ("half-sbs", Some("half-sbs"), Some("half-sbs")),
        ("full-tb", Some("full-tb"), Some("full-tb")),
        ("half-tb", Some("half-tb"), Some("half-tb")),
        ("cross-eyed", Some("full-sbs"), Some("cross-eyed")),
        ("vr180", Some("half-sbs"), Some("vr180")),
        ("rgbd", Some("rgbd"), None),
        ("anaglyph", Some("anaglyph"), None),
        ("right-only", None, None),
    ] {
        let out = folder.path().join(format!("{layout}.mkv"));
        let mut command = convert(&left);
        command.args(["--engine", "draft", "--disparity", "4", "--layout", layout, "-o"]);
        let run = finish(command.arg(&out));
        assert_eq!(run.code, Some(0), "{run:?}");
        let report = inspect(&out, &["--frames", "4"]);
        // Matroska has no mark for half a sphere.
        let declared = if layout == "vr180" { Some("half-sbs") } else { stereo };
        assert_eq!(report["layout"]["declared"].as_str(), declared, "{layout}: {report}");
        assert_eq!(report["layout"]["guessed"].as_str(), looks, "{layout}: {report}");
        let measured = stereo.is_some() || layout == "anaglyph";
        assert_eq!(report["parallax"].is_object(), measured, "{layout}: {report}");
    }
    let run = finish(convert(&left).args(["--engine", "copy", "--layout", "vr180"]));
    assert_eq!(run.code, Some(0), "{run:?}");
    let report = inspect(&folder.path().join("left_180x180_LR.mp4"), &["--frames", "2"]);
    assert_eq!(report["layout"]["declared"], "vr180", "{report}");
    assert_eq!(report["layout"]["named"], "vr180");
    assert_eq!(report["layout"]["half_sphere"], true);
}

#[test]
fn a_person_reads_streams_layout_and_limits() {
    let folder = tempfile::tempdir().unwrap();
    let film = clip(&folder.path().join("film.mp4"), Clip { frames: 10, ..Clip::default() });
    let run = finish(convert(&film).args(["--engine", "copy"]));
    assert_eq!(run.code, Some(0), "{run:?}");
    let mut command = program("parallax");
    let run = finish(command.arg("inspect").arg(folder.path().join("film_LRF_Full_SBS.mp4")));
    for words in [
        "0 video      h264",
        "1 audio      aac",
        "pictures: 10 of 256x72",
        "layout:   full-sbs",
        "the file says side by side; its name: full-sbs; pictures look like: perhaps full-sbs",
        "  crossed limit   -0.",
        "  uncrossed limit +0.",
    ] {
        assert!(run.stdout.contains(words), "{words}: {}", run.stdout);
    }
    // What the container does not say, the stream does.
    let bare = folder.path().join("bare.ts");
    let out = bare.to_str().unwrap();
    let film = folder.path().join("film_LRF_Full_SBS.mp4");
    ffmpeg(&[], &[&film], &["-c", "copy", out]);
    let report = inspect(&bare, &["--frames", "0"]);
    assert_eq!(report["layout"]["container"], Value::Null, "{report}");
    assert_eq!(report["layout"]["stream"], "side by side", "{report}");
    assert_eq!(report["layout"]["declared"], "full-sbs", "{report}");
    let mut command = program("parallax");
    let run = finish(command.arg("inspect").arg(folder.path().join("nothing.mp4")));
    assert!(run.error().contains("nothing.mp4"), "{run:?}");
}

/// Red, green and blue of a picture's samples, row by row.
fn rgb(path: &Path, filter: &str) -> Vec<u8> {
    ffmpeg(
        &[],
        &[path],
        &["-vf", filter, "-frames:v", "1", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"],
    )
}

fn far_apart(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let sum: u64 = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.len() as f64
}

#[test]
fn a_sheet_shows_the_chosen_frames_and_reads_no_more_of_the_film() {
    let folder = tempfile::tempdir().unwrap();
    let film = clip(&folder.path().join("film.mp4"), Clip::default());
    // What lies behind the chosen frames cannot be decoded.
    let mut bytes = std::fs::read(&film).unwrap();
    let (from, to) = (bytes.len() / 2, bytes.len() / 2 + bytes.len() / 8);
    bytes[from..to].fill(0x55);
    std::fs::write(&film, bytes).unwrap();
    let strict = ["--engine", "copy", "--damaged", "refuse"];
    assert_ne!(finish(convert(&film).args(strict)).code, Some(0));
    let sheet = folder.path().join("film_preview.png");
    let mut command = program("parallax");
    command.args(["preview", "--frames", "1,14", "--width", "64"]).arg(&film);
    let run = finish(&mut command);
    assert_eq!(run.code, Some(0), "{run:?}");
    let picture = &probe(&sheet)["streams"][0];
    assert_eq!((picture["width"].as_u64(), picture["height"].as_u64()), (Some(336), Some(76)));
    let tile = |column: usize, row: usize| {
        rgb(&sheet, &format!("crop=64:36:{}:{}", column * 68, row * 40))
    };
    for (row, frame) in [(0, 1), (1, 14)] {
        let select = format!("select=eq(n\\,{frame}),scale=64:36:flags=area");
        let source = rgb(&film, &select);
        let other = rgb(&film, &format!("select=eq(n\\,{}),scale=64:36:flags=area", frame + 6));
        let [left, depth, mask, right, anaglyph] = [0, 1, 2, 3, 4].map(|column| tile(column, row));
        // Colours between their samples are interpolated differently.
        let (same, wrong) = (far_apart(&left, &source), far_apart(&left, &other));
        assert!(same < 10.0 && same + 2.0 < wrong, "frame {frame}: {same}, another: {wrong}");
        assert!(far_apart(&right, &left) > 0.5, "the right eye is another picture");
        for grey in [&depth, &mask] {
            assert!(grey.chunks(3).all(|c| c[0] == c[1] && c[1] == c[2]));
        }
        assert!(depth.iter().max() > depth.iter().min());
        let channel = |picture: &[u8], k: usize| -> Vec<u8> {
            picture.iter().skip(k).step_by(3).copied().collect()
        };
        assert!(far_apart(&channel(&anaglyph, 0), &channel(&left, 0)) < 12.0);
        assert!(far_apart(&channel(&anaglyph, 1), &channel(&right, 1)) < 12.0);
    }
    let mut command = program("parallax");
    let run = finish(command.args(["preview", "--frames", "80"]).arg(&film));
    assert!(run.error().contains("--frames 80: allowed are 0 to 79"), "{run:?}");
    let mut command = program("parallax");
    let run = finish(command.args(["preview", "--times", "9"]).arg(&film));
    assert!(run.error().contains("--times 9: allowed are 0 to 3.2"), "{run:?}");
}
