//! What fails late keeps what is converted, and `--resume` finishes it.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use parallax_tests::{
    Clip, Finished, Running, audio_md5, clip, convert, finish, frame_md5s, state_folder,
};
use serde_json::Value;

/// A film of several segments, what it becomes undisturbed, and an `ffmpeg` in front of the real
/// one that does what a test tells it.
struct Place {
    folder: tempfile::TempDir,
    film: PathBuf,
    plain: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shape = Clip { size: (96, 64), frames: 100, ..Clip::default() };
        let film = clip(&folder.path().join("film.mp4"), shape);
        let plain = folder.path().join("plain.mp4");
        let place = Self { folder, film, plain };
        fs::create_dir(place.path("bin")).unwrap();
        let run = finish(convert(&place.film).args(["--engine", "copy", "-o"]).arg(&place.plain));
        assert_eq!(run.code, Some(0), "{run:?}");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Has every call of `program` go through a shell first, which sees the call's arguments.
    fn wrap(&self, program: &str, script: &str) {
        let real = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
        let real = String::from_utf8(real.unwrap().stdout).unwrap();
        let path = self.path("bin").join(program);
        let log = self.path("bin").join("calls");
        let text = format!(
            "#!/bin/sh\necho \"$*\" >> {log}\n{script}\nexec {real} \"$@\"\n",
            log = log.display(),
            real = real.trim(),
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn unwrap_all(&self) {
        fs::remove_dir_all(self.path("bin")).unwrap();
        fs::create_dir(self.path("bin")).unwrap();
    }

    /// Calls of wrapped programs with `part` in their arguments.
    fn calls(&self, part: &str) -> usize {
        let log = fs::read_to_string(self.path("bin/calls")).unwrap_or_default();
        log.lines().filter(|line| line.contains(part)).count()
    }

    fn convert(&self, output: &str, args: &[&str]) -> Command {
        let mut command = self.converting(&self.film, args);
        command.arg("-o").arg(self.path(output));
        command
    }

    fn converting(&self, film: &Path, args: &[&str]) -> Command {
        let mut command = convert(film);
        command.args(["--engine", "copy", "--json", "-v"]).args(args);
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", self.path("bin").display()));
        command
    }

    /// Resumes to `output` and checks that not a frame is converted again.
    fn only_joined(&self, output: &str, args: &[&str]) {
        let args = [&["--resume"], args].concat();
        let run = finish(&mut self.convert(output, &args));
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(!run.stderr.contains("attempt starts"), "converted again: {}", run.stderr);
        self.is_the_film(output);
    }

    fn is_the_film(&self, output: &str) {
        let out = self.path(output);
        assert_eq!(pictures(&out), pictures(&self.plain));
        assert_eq!(audio_md5(&out), audio_md5(&self.film));
        assert!(state_folder(self.folder.path()).is_none(), "nothing is left over");
    }
}

/// The hashes of a film's pictures, whatever their times are rounded to.
fn pictures(path: &Path) -> Vec<String> {
    let md5 = |line: String| line.rsplit(',').next().unwrap().trim().to_owned();
    frame_md5s(path).into_iter().map(md5).collect()
}

fn events(run: &Finished, kind: &str) -> Vec<Value> {
    let events = run.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["event"] == kind).collect()
}

/// The arguments of joining and of nothing else.
const JOIN: &str = "-f concat";

#[test]
fn a_join_that_fails_is_tried_once_and_joined_otherwise_later() {
    let place = Place::new();
    let refuse =
        format!("case \"$*\" in *'{JOIN}'*) echo 'no such muxing today' >&2; exit 1;; esac");
    place.wrap("ffmpeg", &refuse);
    let run = finish(&mut place.convert("out.mp4", &[]));
    let error = run.error();
    for part in ["film.mp4", "cannot be joined", "no such muxing today", "--resume", ".mkv"] {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
    for part in ["scratch", "source.mp4", "final.mp4"] {
        assert!(!error.contains(part), "{part:?} says nothing to anybody: {error}");
    }
    assert_eq!(place.calls(JOIN), 1, "waiting changes nothing: {run:?}");
    assert_eq!(events(&run, "joining").len(), 1, "{run:?}");
    assert!(!place.path("out.mp4").exists());

    place.unwrap_all();
    let other = finish(&mut place.convert("out.mkv", &["--resume", "--crf", "30"]));
    assert!(other.error().contains("--crf was 16 and is 30"), "{other:?}");
    let without = ["--without", "audio"];
    let run = finish(&mut place.convert("out.mkv", &[&["--resume"][..], &without].concat()));
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(!run.stderr.contains("attempt starts"), "converted again: {}", run.stderr);
    let told = events(&run, "left_out");
    assert_eq!((told.len(), &told[0]["stream"]), (1, &1.into()), "{told:?}");
    assert_eq!(told[0]["reason"], "it was not wanted");
    let streams = parallax_tests::probe(&place.path("out.mkv"))["streams"].clone();
    assert_eq!(streams.as_array().unwrap().len(), 1, "{streams}");
    assert_eq!(pictures(&place.path("out.mkv")), pictures(&place.plain));
}

#[test]
fn a_film_that_is_joined_already_is_joined_again_for_another_container() {
    let place = Place::new();
    // Killed when the film is whole and only its name is missing.
    let mut run = Running::start(&mut place.convert("out.mp4", &[]));
    let made = |state: PathBuf| state.join("joined").exists();
    while !state_folder(place.folder.path()).is_some_and(made) && !run.has_ended() {
        std::hint::spin_loop();
    }
    if !run.has_ended() {
        run.signal(Signal::SIGKILL);
    }
    run.wait();
    if state_folder(place.folder.path()).is_none() {
        // It was quicker.
        return place.is_the_film("out.mp4");
    }
    place.only_joined("out.mkv", &[]);
    let probe = parallax_tests::probe(&place.path("out.mkv"));
    assert_eq!(probe["format"]["format_name"], "matroska,webm", "{probe}");
}

#[test]
fn a_kill_in_any_step_of_joining_costs_no_frame() {
    let place = Place::new();
    let kill = |when: &str| format!("case \"$*\" in {when}) kill -9 $PPID; exit 1;; esac");
    for (program, when) in [
        // The results are fetched, and are being looked at.
        ("ffprobe", "*result-0.mp4*"),
        // The list is written.
        ("ffmpeg", "*'-f concat'*"),
        // The film is made, and is being looked at.
        ("ffprobe", "*final.mp4.partial*"),
    ] {
        place.wrap(program, &kill(when));
        let run = finish(&mut place.convert("out.mp4", &[]));
        assert_eq!(run.code, None, "{program} {when}: {run:?}");
        assert!(!place.path("out.mp4").exists());
        place.unwrap_all();
        place.only_joined("out.mp4", &[]);
        fs::remove_file(place.path("out.mp4")).unwrap();
    }
    // What has no program of its own: storing the film, completing the job, giving the name.
    for file in ["objects/output/jobs", "joined", "delivered"] {
        let mut run = Running::start(&mut place.convert("out.mp4", &[]));
        let done = |state: PathBuf| match file {
            "objects/output/jobs" => {
                let jobs = state.join(file).read_dir().into_iter().flatten().flatten();
                jobs.map(|job| job.path().join("final.mp4")).any(|path| path.exists())
            }
            _ => state.join(file).exists(),
        };
        while !state_folder(place.folder.path()).is_some_and(done) && !run.has_ended() {
            std::hint::spin_loop();
        }
        if !run.has_ended() {
            run.signal(Signal::SIGKILL);
        }
        run.wait();
        // Whichever step it was in.
        match state_folder(place.folder.path()) {
            Some(_) => place.only_joined("out.mp4", &[]),
            None => place.is_the_film("out.mp4"),
        }
        fs::remove_file(place.path("out.mp4")).unwrap();
    }
}

#[test]
fn a_piece_that_is_lost_or_damaged_is_converted_again_and_no_other() {
    let place = Place::new();
    type Spoil = fn(&Path);
    let spoils: [(&str, Spoil); 3] = [
        ("zeros, as after a power cut", |piece| {
            let length = fs::metadata(piece).unwrap().len();
            fs::write(piece, vec![0; length as usize]).unwrap();
        }),
        ("cut off", |piece| {
            let bytes = fs::read(piece).unwrap();
            fs::write(piece, &bytes[..bytes.len() - 100]).unwrap();
        }),
        ("gone", |piece| fs::remove_file(piece).unwrap()),
    ];
    for (name, spoil) in spoils {
        place.wrap("ffmpeg", &format!("case \"$*\" in *'{JOIN}'*) kill -9 $PPID;; esac"));
        assert_eq!(finish(&mut place.convert("out.mp4", &[])).code, None, "{name}");
        place.unwrap_all();
        let jobs = state_folder(place.folder.path()).unwrap().join("objects/output/jobs");
        let job = jobs.read_dir().unwrap().next().unwrap().unwrap().path();
        assert!(job.join("segments").read_dir().unwrap().count() > 1, "several pieces");
        spoil(&job.join("segments/0.mp4"));
        let run = finish(&mut place.convert("out.mp4", &["--resume"]));
        assert_eq!(run.code, Some(0), "{name}: {run:?}");
        let told = events(&run, "warning");
        let told = told.iter().filter(|w| w["message"].as_str().unwrap().contains("again")).count();
        assert_eq!(told, 1, "{name}: {run:?}");
        assert_eq!(run.stderr.matches("attempt starts").count(), 1, "{name}: {}", run.stderr);
        place.is_the_film("out.mp4");
        fs::remove_file(place.path("out.mp4")).unwrap();
    }
}

#[test]
fn every_retry_is_told_with_its_reason() {
    let place = Place::new();
    // Killed once each, as when memory runs out: one encoder and one join.
    let once = |when: &str, mark: &str| {
        let mark = place.path(mark).display().to_string();
        format!("case \"$*\" in {when}) [ -e {mark} ] || {{ touch {mark}; kill -9 $$; }};; esac\n")
    };
    let script = once("*libx264*/out.mp4*", "encoded") + &once("*'-f concat'*", "joined");
    place.wrap("ffmpeg", &script);
    let run = finish(&mut place.convert("out.mp4", &[]));
    assert_eq!(run.code, Some(0), "{run:?}");
    let told = events(&run, "retry");
    let steps: Vec<_> = told.iter().map(|event| event["step"].as_str().unwrap()).collect();
    assert_eq!(steps.len(), 2, "{told:?}");
    assert!(steps[0].starts_with("segment ") && steps[1] == "joining", "{told:?}");
    for event in &told {
        assert_eq!((&event["attempt"], &event["of"]), (&1.into(), &3.into()));
        let why = event["why"].as_str().unwrap();
        assert!(why.contains("was killed") && why.contains("film.mp4"), "{why}");
        assert!(!why.contains("scratch"), "{why}");
    }
    assert!(told[1]["next_in_seconds"].as_f64().is_some_and(|s| s > 0.0), "{told:?}");
    place.is_the_film("out.mp4");
}

#[test]
fn a_segment_that_is_given_up_costs_no_other() {
    let place = Place::new();
    // Every encoder but the first fails, in the way that another try may mend.
    let first = place.path("first");
    let script = format!(
        "case \"$*\" in *libx264*/out.mp4*) if [ -e {first} ]; then kill -9 $$; fi; touch {first};; esac",
        first = first.display()
    );
    place.wrap("ffmpeg", &script);
    let run = finish(&mut place.convert("out.mp4", &["--jobs", "1"]));
    let error = run.error();
    assert!(error.contains("1 of 3 segments are converted"), "{error}");
    assert!(error.contains("film.mp4, from 00:00:0") && error.contains("of 3)"), "{error}");
    assert!(error.contains("--resume") && !error.contains("scratch/"), "{error}");
    assert!(events(&run, "retry").len() >= 2, "{run:?}");

    place.unwrap_all();
    let run = finish(&mut place.convert("out.mp4", &["--resume"]));
    assert_eq!(run.code, Some(0), "{run:?}");
    let done = events(&run, "started")[0]["frames_done"].as_u64().unwrap();
    assert!(done >= 12 && run.stderr.matches("attempt starts").count() == 2, "{run:?}");
    place.is_the_film("out.mp4");
}

#[test]
fn a_film_of_any_name_that_a_file_system_holds_is_converted_and_resumed() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let place = Place::new();
    let longest = [&[b'n'; 251][..], b".mp4"].concat();
    let others: [&[u8]; 2] = [b"a\xff\n\xc3\xbc'\"%03d:.mp4", b"-i\\.mp4"];
    for name in others.into_iter().chain([&longest[..]]) {
        let own = place.path("own");
        fs::create_dir(&own).unwrap();
        let film = own.join(OsStr::from_bytes(name));
        fs::copy(&place.film, &film).unwrap();
        let command = |args: &[&str]| place.converting(&film, args);
        place.wrap("ffmpeg", &format!("case \"$*\" in *'{JOIN}'*) kill -9 $PPID;; esac"));
        let run = finish(&mut command(&[]));
        assert_eq!(run.code, None, "{run:?}");
        place.unwrap_all();
        let run = finish(&mut command(&["--resume"]));
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(!run.stderr.contains("attempt starts"), "converted again: {run:?}");
        let made: Vec<_> = own.read_dir().unwrap().map(|e| e.unwrap().path()).collect();
        let [output] = made.iter().filter(|path| **path != film).collect::<Vec<_>>()[..] else {
            panic!("nothing but the film and what became of it: {made:?}");
        };
        let output_name = output.file_name().unwrap().to_str().unwrap();
        assert!(output_name.ends_with("_LRF_Full_SBS.mp4"), "{output_name}");
        assert_eq!(frame_md5s(output), frame_md5s(&place.plain));
        fs::remove_dir_all(&own).unwrap();
    }
}

#[test]
fn a_source_that_changed_is_refused_by_name() {
    let place = Place::new();
    place.wrap("ffmpeg", &format!("case \"$*\" in *'{JOIN}'*) kill -9 $PPID;; esac"));
    assert_eq!(finish(&mut place.convert("out.mp4", &[])).code, None);
    place.unwrap_all();
    let earlier = place.path("earlier.mp4");
    fs::rename(&place.film, &earlier).unwrap();
    clip(&place.film, Clip { size: (96, 64), frames: 90, ..Clip::default() });
    for output in ["out.mp4", "out.mkv"] {
        let run = finish(&mut place.convert(output, &["--resume"]));
        let error = run.error();
        for part in ["film.mp4", "was changed", "bytes instead of", "--restart"] {
            assert!(error.contains(part), "{part:?} is not in: {error}");
        }
    }
    fs::rename(&earlier, &place.film).unwrap();
    place.only_joined("out.mp4", &[]);
}
