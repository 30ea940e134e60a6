//! Where a film was cut to be converted in pieces, nobody sees it.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use parallax_tests::{Server, finish, program};
use serde_json::json;

const WIDTH: usize = 320;
const HEIGHT: usize = 180;
const RATE: usize = 25;
/// Frames after which the picture repeats, and between keyframes.
const PERIOD: usize = 50;
/// Frames of the short segments of a film whose past counts.
const SHORT: usize = 25;
/// Frames by which those options look ahead.
const AHEAD: usize = 7;

/// A film and how it is cut.
struct Film {
    path: PathBuf,
    segment: usize,
    frames: usize,
}

const WALL: &str = "120+50*sin(X*0.83+Y*0.31)*cos(Y*0.71-X*0.23)";

/// One shot without end: cards pass a still wall, each followed by the next at the same distance.
fn passing_cards(folder: &Path) -> Film {
    // 160 pixels in a period, so that every period shows the same.
    let card = "lt(mod(X-3.2*N+3200\\,160)\\,56)*gt(Y\\,60)";
    let on_card = "130+70*sin((X-3.2*N)*0.589+Y*0.47)*cos(Y*0.39)";
    film(folder, &format!("if({card}\\,{on_card}\\,{WALL})"), 2 * PERIOD, 6 * PERIOD)
}

/// One shot whose past counts: something comes in from the right, stays and goes on moving within itself,
/// and nobody sees again what it covers; a card comes in from the left soon after a border.
fn one_that_stays(folder: &Path) -> Film {
    let left = "max(140\\,300-6.4*N)";
    let guest = format!("gte(X\\,{left})*lt(X\\,{left}+56)*gt(Y\\,50)*lt(Y\\,150)");
    let on_guest = "130+70*sin((X+6.4*N)*0.589+Y*0.47)*cos(Y*0.39)";
    let at = "(5*mod(N+73.5\\,100)-40)";
    let card = format!("gte(X\\,{at})*lt(X\\,{at}+40)*gt(Y\\,130)");
    let on_card = format!("120+80*sin((X-{at})*0.41+Y*0.53)*cos(Y*0.37)");
    let luma = format!("if({card}\\,{on_card}\\,if({guest}\\,{on_guest}\\,{WALL}))");
    film(folder, &luma, SHORT, 3 * SHORT)
}

/// A film of this luma in segments of so many frames, each of which begins with a keyframe.
fn film(folder: &Path, luma: &str, segment: usize, frames: usize) -> Film {
    let path = folder.join("film.mkv");
    let picture = format!(
        "nullsrc=s={WIDTH}x{HEIGHT}:r={RATE},trim=end_frame={frames},geq=lum='{luma}':cb=128:cr=128"
    );
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", &picture]);
    command.args(["-c:v", "libx264", "-preset", "ultrafast", "-qp", "0", "-pix_fmt", "yuv420p"]);
    command.args(["-g", &segment.min(PERIOD).to_string(), "-sc_threshold", "0"]);
    assert!(command.arg(&path).status().unwrap().success());
    Film { path, segment, frames }
}

/// The luma of every frame of `film` with these options, converted in its segments or as one.
fn converted(film: &Film, options: &[&str], cut: bool) -> Vec<Vec<u8>> {
    let out = film.path.with_file_name("out.mkv");
    let seconds = if cut { film.segment / RATE } else { 3600 }.to_string();
    let mut command = program("parallax");
    command.arg("convert").arg(&film.path).args(["--preset", "ultrafast", "--overwrite"]);
    // Twice as much parallax as usual, and nothing lost to the encoder.
    command.args(["--disparity", "4", "--crf", "0", "-v"]).args(options);
    let run = finish(command.args(["--segment-seconds", &seconds, "-o"]).arg(&out));
    assert_eq!(run.code, Some(0), "{run:?}");
    let segments = run.stderr.matches("segment completed").count();
    let wanted = if cut { film.frames / film.segment } else { 1 };
    assert_eq!(segments, wanted, "{run:?}");
    luma(&out, film.frames)
}

/// The luma of every frame of a video of so many.
fn luma(path: &Path, frames: usize) -> Vec<Vec<u8>> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i"]).arg(path);
    command.args(["-vsync", "passthrough", "-pix_fmt", "gray", "-f", "rawvideo", "-"]);
    let samples = command.output().unwrap().stdout;
    let found: Vec<Vec<u8>> = samples.chunks(samples.len() / frames).map(<[u8]>::to_vec).collect();
    assert_eq!(found.len(), frames);
    found
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
    let film = passing_cards(folder.path());
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    let right = ["--layout", "right-only"];
    let by_shot = ["--convergence", "auto", "--floating-window", "--fill", "temporal"];
    let all = [&right[..], &by_shot].concat();
    let cases: [(&str, &[&str]); 3] =
        [("right", &right), ("depth", &["--layout", "rgbd"]), ("by the shot", &all)];
    for (layout, options) in cases {
        let (pieces, whole) = (converted(&film, options, true), converted(&film, options, false));
        let Film { segment, frames, .. } = film;
        let borders: Vec<usize> = (segment..frames).step_by(segment).collect();
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
        let between = (segment + PERIOD..frames).step_by(segment).flat_map(around);
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

#[test]
fn what_is_decided_by_the_shot_does_not_depend_on_where_the_film_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let film = one_that_stays(folder.path());
    let plain = converted(&film, &[], true);
    let options: [&[&str]; 3] =
        [&["--convergence", "auto"], &["--floating-window"], &["--fill", "temporal"]];
    for option in options {
        let (pieces, whole) = (converted(&film, option, true), converted(&film, option, false));
        for (t, (piece, whole)) in pieces.iter().zip(&whole).enumerate() {
            let (mean, most) = difference(piece, whole);
            assert!(most == 0, "{option:?}: {mean} and at most {most} at frame {t}");
        }
        let last = film.frames - film.segment;
        assert!(pieces[last..] != plain[last..], "{option:?} does nothing here");
    }
}

#[test]
fn a_server_looks_back_as_far_as_the_shot_began() {
    let folder = tempfile::tempdir().unwrap();
    let film = one_that_stays(folder.path());
    let segments = folder.path().join("input/segments/job");
    std::fs::create_dir_all(&segments).unwrap();
    let total = film.frames / film.segment;
    let cuts: Vec<String> = (1..total).map(|n| (n * film.segment).to_string()).collect();
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i"]).arg(&film.path).args(["-c", "copy"]);
    command.args(["-f", "segment", "-segment_frames", &cuts.join(","), "-reset_timestamps", "1"]);
    let name = format!("%05d_{total:05}_sbs.mp4");
    assert!(command.arg(segments.join(name)).status().unwrap().success());
    let segment = |index: usize| segments.join(format!("{index:05}_{total:05}_sbs.mp4"));
    let alone = folder.path().join("input/alone.mp4");
    std::fs::copy(segment(total - 1), &alone).unwrap();

    let server = Server::start(folder.path(), &[]);
    let result = folder.path().join("output/result.mp4");
    let ask = |segment: &Path, options: &serde_json::Value| {
        let mut body = json!({
            "input_uri": format!("file://{}", segment.display()),
            "output_uri": format!("file://{}", result.display()),
            "mode": "sbs", "disparity_percent": 4,
        });
        body.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let answer = server.post("/invocations", &[], &body.to_string());
        assert_eq!(answer.status, 200, "{answer:?}");
        luma(&result, film.segment)
    };
    for (option, asked) in [
        (
            &["--convergence", "auto", "--floating-window"][..],
            json!({ "convergence": "auto", "floating_window": true }),
        ),
        (&["--fill", "temporal"], json!({ "fill": "temporal" })),
    ] {
        let whole = folder.path().join("whole.mkv");
        let mut command = program("parallax");
        command.arg("convert").arg(&film.path).args(["--disparity", "4", "--overwrite"]);
        let seconds = (film.segment / RATE).to_string();
        command.args(option).args(["--segment-seconds", &seconds, "-o"]).arg(&whole);
        let run = finish(&mut command);
        assert_eq!(run.code, Some(0), "{run:?}");
        let whole = luma(&whole, film.frames);
        let whole = |index: usize| &whole[index * film.segment..][..film.segment];
        let found = ask(&segment(total - 1), &asked);
        assert!(found == whole(total - 1), "{option:?}: the last segment is not the film's");
        let found = ask(&alone, &asked);
        assert!(found != whole(total - 1), "{option:?}: what was before does not matter here");

        // What follows a segment is not looked at: only its end may differ by more than the encoder does.
        let found = ask(&segment(1), &asked);
        let apart = |(a, b): (&Vec<u8>, &Vec<u8>)| difference(a, b).0;
        let apart: Vec<f64> = found.iter().zip(whole(1)).map(apart).collect();
        let worst = |part: &[f64]| part.iter().copied().fold(0.0, f64::max);
        let (body, end) = apart.split_at(film.segment - AHEAD);
        println!("{asked}: {} until {AHEAD} frames from the end, then {}", worst(body), worst(end));
        assert!(worst(body) < 0.5, "{asked}: {apart:?}");
    }
}
