//! Parts of films, fewer frames and smaller ones.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use parallax_tests::{Finished, Running, convert, finish, probe, program};
use serde_json::Value;

fn ffmpeg(args: &[&str], folder: &Path) -> String {
    let mut command = Command::new("ffmpeg");
    let output = command.args(["-nostdin", "-y"]).args(args).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {said}");
    said
}

const SUBTITLES: &str = "\
1\n00:00:00,500 --> 00:00:02,500\nbefore\n
2\n00:00:02,700 --> 00:00:03,200\nwithin\n
3\n00:00:03,500 --> 00:00:06,000\nbeyond\n\n";

const CHAPTERS: &str = ";FFMETADATA1
[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=one
[CHAPTER]\nTIMEBASE=1/1000\nSTART=1000\nEND=3000\ntitle=two \\= #2
[CHAPTER]\nTIMEBASE=1/1000\nSTART=3000\nEND=4040\ntitle=three
[CHAPTER]\nTIMEBASE=1/1000\nSTART=4040\nEND=6000\ntitle=four
";

/// Six seconds with a white picture and a beep at each whole second, keyframes two seconds apart.
fn film(folder: &Path, name: &str) -> PathBuf {
    std::fs::write(folder.join("subs.srt"), SUBTITLES).unwrap();
    std::fs::write(folder.join("chapters.txt"), CHAPTERS).unwrap();
    let flash = "color=black:s=64x48:r=25:d=6,\
                 geq=lum='if(lt(mod(T,1),0.04),235,16)':cb=128:cr=128";
    let beep = "aevalsrc='if(lt(mod(t,1),0.04),sin(2*PI*1000*t),0)':s=48000:d=6";
    let mut args = vec!["-f", "lavfi", "-i", flash, "-f", "lavfi", "-i", beep];
    args.extend(["-i", "subs.srt", "-i", "chapters.txt", "-map", "0", "-map", "1", "-map", "2"]);
    args.extend(["-map_chapters", "3", "-c:v", "libx264", "-g", "50", "-pix_fmt", "yuv420p"]);
    args.extend(["-c:a", "aac", "-c:s", "mov_text", name]);
    ffmpeg(&args, folder);
    folder.join(name)
}

fn part(source: &Path, out: &str, args: &[&str]) -> (PathBuf, Finished) {
    let out = source.with_file_name(out);
    let mut command = program("parallax");
    command.arg("convert").arg(source).args(["--preset", "ultrafast", "--engine", "copy"]);
    let run = finish(command.args(args).arg("-o").arg(&out));
    (out, run)
}

fn events(run: &Finished) -> Vec<Value> {
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// When a filter says that something ends, in seconds.
fn ends(path: &Path, map: &str, filter: &str, word: &str) -> Vec<f64> {
    let kind = if map == "0:v" { "-vf" } else { "-af" };
    let path = path.to_str().unwrap();
    let said = ffmpeg(&["-i", path, "-map", map, kind, filter, "-f", "null", "-"], Path::new("/"));
    let found = said.split(word).skip(1);
    found.map(|rest| rest.split_whitespace().next().unwrap().parse().unwrap()).collect()
}

/// Seconds at which pictures get white and sound begins.
fn flashes_and_beeps(path: &Path) -> (Vec<f64>, Vec<f64>) {
    let flashes = ends(path, "0:v", "blackdetect=d=0:pix_th=0.3", "black_end:");
    let beeps = ends(path, "0:a", "silencedetect=n=-30dB:d=0.2", "silence_end: ");
    (flashes, beeps)
}

/// What a subtitle says, when it begins and for how long it is there.
fn subtitles(path: &Path) -> String {
    let folder = tempfile::tempdir().unwrap();
    ffmpeg(&["-i", path.to_str().unwrap(), "-map", "0:s", "out.srt"], folder.path());
    std::fs::read_to_string(folder.path().join("out.srt")).unwrap()
}

fn chapters(path: &Path) -> Vec<(String, f64)> {
    let mut command = Command::new("ffprobe");
    let output = command.args(["-v", "error", "-show_chapters", "-of", "json"]).arg(path).output();
    let found: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let chapters = found["chapters"].as_array().unwrap().iter();
    let of = |chapter: &Value| {
        let start = chapter["start_time"].as_str().unwrap().parse().unwrap();
        (chapter["tags"]["title"].as_str().unwrap().to_owned(), start)
    };
    chapters.map(of).collect()
}

#[test]
fn sound_subtitles_and_chapters_go_along_with_a_part() {
    let folder = tempfile::tempdir().unwrap();
    let film = film(folder.path(), "film.mp4");
    for out in ["out.mp4", "out.mkv"] {
        // In the middle of a group of pictures, and where a chapter begins.
        let (out, run) = part(&film, out, &["--start", "1.52", "--end", "0:04.04", "--json"]);
        assert_eq!(run.code, Some(0), "{run:?}");
        let probed = probe(&out);
        assert_eq!(probed["streams"][0]["nb_read_frames"], "63", "{out:?}");
        let begins = |stream: usize| -> f64 {
            probed["streams"][stream]["start_time"].as_str().unwrap().parse().unwrap()
        };
        assert!(begins(0) == 0.0 && (0.0..0.022).contains(&begins(1)), "{probed}");
        let (flashes, beeps) = flashes_and_beeps(&out);
        assert_eq!((flashes.len(), beeps.len()), (3, 3), "{flashes:?} {beeps:?}");
        for (n, (flash, beep)) in flashes.iter().zip(&beeps).enumerate() {
            let at = 0.48 + n as f64;
            assert!((flash - at).abs() < 0.002 && (beep - at).abs() < 0.002, "{flash} {beep} {at}");
        }
        let titles = [("two = #2".to_owned(), 0.0), ("three".to_owned(), 1.48)];
        assert_eq!(chapters(&out), titles);
        let said = subtitles(&out);
        assert!(said.contains("00:00:01,180 --> 00:00:01,680\nwithin"), "{said}");
        assert!(said.contains("00:00:01,980 --> ") && !said.contains("before"), "{said}");
        let told = events(&run);
        let left_out = told.iter().find(|event| event["event"] == "left_out").unwrap();
        assert!(
            left_out["what"].as_str().unwrap().contains("a subtitle of stream 2"),
            "{left_out}"
        );
        assert!(run.stdout.contains("cut by whole packets"), "{run:?}");
    }
}

#[test]
fn fewer_and_smaller_frames_keep_the_shape_and_the_sound() {
    let folder = tempfile::tempdir().unwrap();
    let film = film(folder.path(), "film.mp4");
    let args = ["--fps", "10", "--max-height", "33", "--layout", "half-sbs"];
    let (out, run) = part(&film, "out.mp4", &args);
    assert_eq!(run.code, Some(0), "{run:?}");
    let probed = probe(&out);
    let video = &probed["streams"][0];
    // 44 by 33 shrinks to even sides, and each eye is half of that.
    assert_eq!((&video["width"], &video["height"]), (&44.into(), &32.into()), "{video}");
    assert_eq!(
        (&video["nb_read_frames"], &video["sample_aspect_ratio"]),
        (&"60".into(), &"2:1".into())
    );
    let lasts = |stream: usize| -> f64 {
        probed["streams"][stream]["duration"].as_str().unwrap().parse().unwrap()
    };
    assert!((lasts(0) - 6.0).abs() < 0.001 && (lasts(1) - 6.0).abs() < 0.03, "{probed}");
    assert_eq!(chapters(&out).len(), 4, "the whole film has all of them");
}

#[test]
fn impossible_parts_are_refused_by_flag_with_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let film = film(folder.path(), "film.mp4");
    let cases: [(&[&str], &str, &str); 5] = [
        (&["--start", "6"], "--start 6: ", "end at 6.000 s; allowed is what is before"),
        (&["--end", "0:07"], "--end 0:07: ", "6.000 s long; allowed is up to that"),
        (&["--start", "3", "--end", "2.5"], "--end 2.5: --start is 3", "comes after it"),
        (&["--end", "0"], "--end 0: ", "allowed is more than 0"),
        (&["--start", "1.01", "--end", "1.02"], "no picture begins", "from 1.010000 s to 1.02"),
    ];
    for (args, flag, allowed) in cases {
        let (out, run) = part(&film, "out.mp4", args);
        let error = run.error();
        assert!(error.contains(flag) && error.contains(allowed), "{args:?}: {error}");
        assert!(!out.exists());
    }
    let (_, run) = part(&film, "out.mp4", &["--fps", "fast"]);
    assert!(run.stderr.contains("allowed is 1 to 1000") && run.code == Some(2), "{run:?}");
}

#[test]
fn a_part_is_resumed_as_the_same_part_only() {
    let folder = tempfile::tempdir().unwrap();
    let film = film(folder.path(), "film.mp4");
    let out = folder.path().join("out.mp4");
    let of = |more: &[&str]| {
        let mut command = convert(&film);
        command.args(["--start", "1", "--jobs", "1", "--json"]).args(more).arg("-o").arg(&out);
        command
    };
    let mut run = Running::start(&mut of(&[]));
    while !run.said().0.contains("\"done\":1") {
        assert!(!run.has_ended(), "{:?}", run.said());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    run.signal(Signal::SIGINT);
    assert_eq!(run.wait().code, Some(130));
    let other = finish(&mut of(&["--resume", "--end", "5"]));
    assert!(other.stdout.contains("--start, --end or --fps was"), "{other:?}");
    let other = finish(&mut of(&["--resume", "--max-height", "24"]));
    assert!(other.stdout.contains("--max-height or --max-width was"), "{other:?}");
    let again = finish(&mut of(&["--resume"]));
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(probe(&out)["streams"][0]["nb_read_frames"], "125");
}
