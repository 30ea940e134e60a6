//! Where depth stands, as a user asks for it and is told of it.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use parallax_tests::{Clip, Finished, clip, convert, finish, frame_md5s};
use serde_json::Value;

fn converted(film: &Path, output: &Path, args: &[&str]) -> Finished {
    finish(convert(film).arg("-o").arg(output).args(args))
}

fn events(run: &Finished) -> Vec<Value> {
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn shots_are_told_and_limits_of_parallax_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let film = clip(&at("film.mp4"), Clip { frames: 20, ..Clip::default() });
    let strong = ["--json", "--disparity", "12.8px", "--convergence", "auto"];
    let run = converted(&film, &at("strong.mp4"), &strong);
    assert_eq!(run.code, Some(0), "{run:?}");
    // 12.8 of 128 pixels are ten percent, of which the draft engine never uses all.
    let told = events(&run);
    let shots: Vec<_> = told.iter().filter(|event| event["event"] == "shot").collect();
    let frames: u64 = shots.iter().map(|shot| shot["frames"].as_u64().unwrap()).sum();
    assert_eq!(frames, 20, "{shots:?}");
    let widest = |run: &Finished| {
        let completed = events(run).pop().unwrap();
        let of = |end: &str| completed["parallax_percent"][end].as_f64().unwrap();
        (of("p1"), of("p99"))
    };
    let (near, far) = widest(&run);
    assert!(near < -1.5 && far > 3.0, "{near} to {far}");
    assert!((far + 2.0 * near).abs() < 0.3, "a third is in front: {near} to {far}");

    let limited = [&strong[..], &["--comfort=1,0.5", "--floating-window"]].concat();
    let run = converted(&film, &at("limited.mp4"), &limited);
    assert_eq!(run.code, Some(0), "{run:?}");
    let (near, far) = widest(&run);
    assert!((-1.0..-0.8).contains(&near) && (0.4..=0.5).contains(&far), "{near} to {far}");
    assert_ne!(frame_md5s(&at("limited.mp4")), frame_md5s(&at("strong.mp4")));

    let plain = converted(&film, &at("plain.mp4"), &["--fill", "black", "--warp", "reference"]);
    assert_eq!(plain.code, Some(0), "{plain:?}");
    assert!(plain.stderr.contains("parallax of "), "{plain:?}");
}

#[test]
fn more_pixels_than_ten_percent_are_refused_with_the_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let film = clip(&folder.path().join("film.mp4"), Clip { frames: 2, ..Clip::default() });
    let run = converted(&film, &folder.path().join("out.mp4"), &["--disparity", "40px"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    let error = run.error();
    assert!(error.contains("128 pixels wide") && error.contains("12px"), "{error}");
}
