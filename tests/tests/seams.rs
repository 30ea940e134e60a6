//! Where a film was cut to be converted in pieces, nobody sees it.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use parallax_tests::{bin, finish};

const WIDTH: usize = 320;
const HEIGHT: usize = 180;
const RATE: usize = 25;
/// Frames after which the picture repeats, and between keyframes.
const PERIOD: usize = 50;
/// Frames of a segment and of the film.
const SEGMENT: usize = 2 * PERIOD;
const FRAMES: usize = 5 * SEGMENT;

/// One shot without end: cards pass a still wall, each followed by the next at the same distance.
fn film(folder: &Path) -> PathBuf {
    let path = folder.join("film.mkv");
    // 160 pixels in a period, so that every period shows the same.
    let texture = "120+50*sin(X*0.83+Y*0.31)*cos(Y*0.71-X*0.23)";
    let card = "lt(mod(X-3.2*N+3200\\,160)\\,56)*gt(Y\\,60)";
    let on_card = "130+70*sin((X-3.2*N)*0.589+Y*0.47)*cos(Y*0.39)";
    let picture = format!(
        "nullsrc=s={WIDTH}x{HEIGHT}:r={RATE},trim=end_frame={FRAMES},\
         geq=lum='if({card}\\,{on_card}\\,{texture})':cb=128:cr=128"
    );
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", &picture]);
    command.args(["-c:v", "libx264", "-preset", "ultrafast", "-qp", "0", "-pix_fmt", "yuv420p"]);
    command.args(["-g", &PERIOD.to_string(), "-sc_threshold", "0"]);
    assert!(command.arg(&path).status().unwrap().success());
    path
}

/// The luma of every frame of `film` in `layout`, converted in segments of `seconds`.
fn converted(film: &Path, layout: &str, seconds: &str) -> Vec<Vec<u8>> {
    let out = film.with_file_name(format!("{layout}-{seconds}.mkv"));
    let mut command = Command::new(bin("parallax"));
    command.arg("convert").arg(film).args(["--preset", "ultrafast"]);
    // Twice as much parallax as usual, and nothing lost to the encoder.
    command.args(["--layout", layout, "--disparity", "4", "--crf", "0", "-v"]);
    let run = finish(command.args(["--segment-seconds", seconds, "-o"]).arg(&out));
    assert_eq!(run.code, Some(0), "{run:?}");
    let segments = run.stderr.matches("segment completed").count();
    let wanted = if seconds == "4" { FRAMES / SEGMENT } else { 1 };
    assert_eq!(segments, wanted, "{run:?}");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i"]).arg(&out);
    command.args(["-vsync", "passthrough", "-pix_fmt", "gray", "-f", "rawvideo", "-"]);
    let samples = command.output().unwrap().stdout;
    let frames: Vec<Vec<u8>> = samples.chunks(samples.len() / FRAMES).map(<[u8]>::to_vec).collect();
    assert_eq!(frames.len(), FRAMES);
    frames
}

/// Mean and largest difference of two pictures, in code values.
fn difference(a: &[u8], b: &[u8]) -> (f64, u8) {
    let differences = || a.iter().zip(b).map(|(a, b)| a.abs_diff(*b));
    let sum: u64 = differences().map(u64::from).sum();
    (sum as f64 / a.len() as f64, differences().max().unwrap())
}

/// How much frame `t` differs from the one before it.
fn flicker(frames: &[Vec<u8>], t: usize) -> f64 {
    difference(&frames[t], &frames[t - 1]).0
}

#[test]
fn borders_of_segments_flicker_no_more_than_what_is_between_them() {
    let folder = tempfile::tempdir().unwrap();
    let film = film(folder.path());
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    for layout in ["right-only", "rgbd"] {
        let pieces = converted(&film, layout, "4");
        let whole = converted(&film, layout, "3600");
        let borders: Vec<usize> = (SEGMENT..FRAMES).step_by(SEGMENT).collect();
        for &border in &borders {
            for t in border..border + PERIOD {
                let (mean, most) = difference(&pieces[t], &whole[t]);
                assert!(mean < 0.05 && most <= 12, "{layout}: {mean} and {most} at frame {t}");
            }
        }
        // Around a border, and at the same moments of the periods that hold none.
        let around = |t: usize| t - 2..t + 6;
        let at_borders: Vec<f64> =
            borders.iter().flat_map(|&t| around(t)).map(|t| flicker(&pieces, t)).collect();
        let between = (SEGMENT + PERIOD..FRAMES).step_by(SEGMENT).flat_map(around);
        let between: Vec<f64> = between.map(|t| flicker(&pieces, t)).collect();
        let worst = at_borders.iter().copied().fold(0.0, f64::max);
        let usual = between.iter().copied().fold(0.0, f64::max);
        let (at_borders, between) = (mean(at_borders), mean(between));
        println!(
            "{layout}: {at_borders} at borders, {between} between; {worst} and {usual} at most"
        );
        assert!((at_borders / between - 1.0).abs() < 0.05, "{layout}: {at_borders}, {between}");
        assert!(worst < 1.05 * usual, "{layout}: {worst} at a border, {usual} elsewhere");
        assert!(between > 0.2, "{layout}: a picture in which something moves");
    }
}
