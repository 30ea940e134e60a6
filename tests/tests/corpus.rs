//! `tools/corpus` itself: it passes what is right, and names what each kind of wrong program does.

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use parallax_tests::{Clip, clip, program};
use serde_json::Value;

/// Stands in for `parallax convert FILM --json`: both eyes see the source, but for what the lines
/// before and after make of it.
const PROGRAM: &str = r#"#!/bin/bash
film=$2
made=${film%.*}_LRF_Full_SBS.mp4
frames=99 late=0 maps="-map 1:a -c:a copy" picture="null"
BEFORE
ffmpeg -v error -nostdin -y -i "$film" -itsoffset "$late" -i "$film" \
    -filter_complex "[0:v]$picture,split[a][b];[a][b]hstack[v]" -map "[v]" $maps \
    -c:v libx264 -preset ultrafast -crf 8 -pix_fmt yuv420p -frames:v "$frames" -vsync passthrough -enc_time_base 1/12800 "$made"
AFTER
echo "{\"event\": \"completed\", \"output\": \"$made\"}"
"#;

fn tool() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/corpus")
}

/// What the tool says of one film that a program with those two lines converts: its exit code and
/// the film's row.
fn judge(before: &str, after: &str) -> (Option<i32>, Value) {
    let folder = tempfile::tempdir().unwrap();
    let films = folder.path().join("films");
    std::fs::create_dir(&films).unwrap();
    clip(&films.join("film.mp4"), Clip { size: (96, 64), frames: 12, ..Clip::default() });
    let fake = folder.path().join("parallax");
    std::fs::write(&fake, PROGRAM.replace("BEFORE", before).replace("AFTER", after)).unwrap();
    std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (code, report) = run(&films, &fake, "20");
    (code, report["films"][0].clone())
}

fn run(films: &Path, parallax: &Path, limit: &str) -> (Option<i32>, Value) {
    let report = films.with_extension("json");
    let mut command = Command::new(tool());
    command.arg(films).arg("--parallax").arg(parallax).arg("--json").arg(&report);
    let said = command.args(["--limit", limit]).output().unwrap();
    let json = std::fs::read(&report).unwrap_or_else(|_| panic!("no report: {said:?}"));
    (said.status.code(), serde_json::from_slice(&json).unwrap())
}

/// The film's row fails in `check` with words that contain `says`, and so does the run.
#[track_caller]
fn is_caught(before: &str, after: &str, check: &str, says: &str) {
    let (code, film) = judge(before, after);
    assert_eq!(code, Some(1), "{film}");
    assert_eq!(film["checks"][check], false, "{film}");
    let faults = film["faults"].as_array().unwrap();
    assert!(faults.iter().any(|fault| fault.as_str().unwrap().contains(says)), "{film}");
}

#[test]
fn a_program_that_does_everything_right_passes() {
    let (code, film) = judge("", "");
    assert_eq!((code, film["faults"].as_array().unwrap().len()), (Some(0), 0), "{film}");
    for check in ["frames", "times", "sound", "size", "shape", "colour", "streams", "left"] {
        assert_eq!(film["checks"][check], true, "{check} was not looked at: {film}");
    }
}

#[test]
fn a_lost_frame_is_caught() {
    is_caught("frames=11", "", "frames", "11 of 12");
}

#[test]
fn a_moved_frame_is_caught() {
    is_caught(
        "picture=\"setpts='PTS+gt(N,5)*0.003/TB'\"",
        "",
        "times",
        "6 frames, by up to 2.97 ms",
    );
}

#[test]
fn a_stream_that_is_lost_in_silence_is_caught_and_one_that_is_named_is_not() {
    is_caught("maps=", "", "streams", "stream 1 (audio aac) is lost in silence");
    let event = r#"{"event": "warning", "message": "stream 1 (aac) is left out: nobody listens"}"#;
    let (code, film) = judge("maps=", &format!("echo '{event}'"));
    assert_eq!(code, Some(0), "{film}");
}

#[test]
fn sound_that_moved_or_changed_is_caught() {
    is_caught("late=0.03", "", "sound", "begins +");
    is_caught("maps='-map 1:a -c:a aac -af volume=0.5'", "", "sound", "other samples");
}

#[test]
fn another_size_shape_or_picture_is_caught() {
    is_caught("picture=scale=80:64,setsar=1", "", "size", "eyes should be 96x64");
    is_caught("picture=setsar=4/3", "", "shape", "pixels are 4/3");
    is_caught("picture=negate", "", "colour", "left eye");
}

#[test]
fn what_is_left_behind_is_caught() {
    is_caught("", "touch \"$film.partial\"", "left", "film.mp4.partial");
    is_caught("", "touch \"$TMPDIR/scrap\"", "left", "tmp/scrap");
}

#[test]
fn a_panic_is_caught_whatever_the_exit_code() {
    is_caught("", "echo \"thread 'main' panicked at src/main.rs:1\" >&2", "outcome", "panicked");
}

#[test]
fn a_refusal_must_name_the_film_and_leave_a_way_on() {
    let refuse = |message: &str| {
        format!(
            "echo \"{{\\\"event\\\": \\\"error\\\", \\\"message\\\": \\\"{message}\\\"}}\"; exit 1"
        )
    };
    is_caught(&refuse("in.mp4: damaged; pass --damaged repair"), "", "told", "does not name");
    is_caught(&refuse("$film: something was wrong with it"), "", "told", "no way on");
    let (code, film) = judge(&refuse("$film: encrypted: a decrypted copy is needed"), "");
    assert_eq!((code, &film["outcome"]), (Some(0), &"refused".into()), "{film}");
}

#[test]
fn a_program_that_never_ends_is_ended_with_its_children_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let films = folder.path().join("films");
    std::fs::create_dir(&films).unwrap();
    std::fs::write(films.join("film.mp4"), "anything").unwrap();
    let (fake, mark) = (folder.path().join("parallax"), folder.path().join("child"));
    let script = format!(
        "#!/bin/bash\ntrap '' TERM\nsleep 1000 & echo $! >{}\nwhile true; do wait; done\n",
        mark.display()
    );
    std::fs::write(&fake, script).unwrap();
    std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (code, report) = run(&films, &fake, "1");
    let film = &report["films"][0];
    assert_eq!((code, &film["outcome"]), (Some(1), &"hung".into()), "{film}");
    let child = std::fs::read_to_string(mark).unwrap();
    let state = std::fs::read_to_string(format!("/proc/{}/stat", child.trim()));
    let ended = state.map_or(true, |stat| stat.contains(") Z "));
    assert!(ended, "the child {child} outlives the program");
}

#[test]
fn the_real_program_converts_made_films_without_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let films = folder.path().join("films");
    let made = Command::new(tool().with_file_name("corpus-films"))
        .arg(&films)
        .args(["--only", "mp4-h264-a*.mp4"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let parallax = PathBuf::from(program("parallax").get_program());
    let (code, report) = run(&films, &parallax, "120");
    assert_eq!(code, Some(0), "{report:#}");
    assert!(report["films"].as_array().unwrap().len() >= 2, "{report:#}");
}
