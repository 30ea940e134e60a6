//! Films as vectors, from the command line.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use parallax_tests::{Clip, Finished, Running, clip, finish, program};
use serde_json::Value;

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        parallax_tiny_weights::write_perception(&home.at("weights"), 3).unwrap();
        home
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = program("parallax");
        command.current_dir(self.0.path()).arg(name).arg("--weights").arg(self.at("weights"));
        command
    }

    fn perceive(&self, arguments: &[&str]) -> Finished {
        finish(self.command("perceive").args(arguments))
    }

    fn search(&self, arguments: &[&str]) -> Finished {
        finish(self.command("search").args(arguments))
    }

    fn names(&self) -> Vec<String> {
        let entries = self.0.path().read_dir().unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn film(path: &Path, frames: u32) {
    clip(path, Clip { frames, ..Clip::default() });
}

fn picture(film: &Path, at: &str, picture: &Path) {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-ss", at, "-i"]).arg(film).args(["-frames:v", "1"]).arg(picture);
    assert!(command.status().unwrap().success());
}

#[test]
fn a_film_is_looked_at_and_found_again() {
    let home = Home::new();
    film(&home.at("film.mp4"), 48);
    let run = home.perceive(&["film.mp4", "--report", "report.html", "--frames", "4"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let analysis = std::fs::read(home.at("film.mp4.perception.json")).unwrap();
    let kept: Value = serde_json::from_slice(&analysis).unwrap();
    let frames = kept["frame_embeddings"].as_array().unwrap().len();
    assert_eq!(kept["num_frames"].as_u64(), Some(frames as u64));
    let page = std::fs::read_to_string(home.at("report.html")).unwrap();
    assert_eq!(page.matches("<figure").count(), frames);
    // Again: refused, and made again where that is asked for, the same to the byte.
    let again = home.perceive(&["film.mp4"]);
    assert!(again.error().contains("exists already; --overwrite replaces it"), "{again:?}");
    let again = home.perceive(&["film.mp4", "--overwrite", "--frames", "4", "--json"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(std::fs::read(home.at("film.mp4.perception.json")).unwrap(), analysis);
    let last: Value = serde_json::from_str(again.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((&last["event"], &last["frames"]), (&"completed".into(), &frames.into()));

    picture(&home.at("film.mp4"), "1.0", &home.at("picture.png"));
    let found = home.search(&["picture.png", "--json", "--most", "3"]);
    assert_eq!(found.code, Some(0), "{found:?}");
    let hits: Vec<Value> =
        found.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(hits.len(), 3);
    assert_eq!(hits[0]["film"], "film.mp4");
    let moment = home.search(&["film.mp4@1.0", "--most", "100"]);
    assert_eq!(moment.stdout.lines().count(), frames - 1, "not the frame itself: {moment:?}");

    // Another model's vectors are not compared.
    let other = String::from_utf8(analysis).unwrap().replace("\"revision\":\"", "\"revision\":\"x");
    std::fs::write(home.at("film.mp4.perception.json"), other).unwrap();
    let refused = home.search(&["picture.png"]);
    assert!(
        refused.error().contains("different models or weights cannot be compared"),
        "{refused:?}"
    );
}

#[test]
fn mistakes_are_told_once_and_leave_nothing() {
    let home = Home::new();
    film(&home.at("film.mp4"), 8);
    std::fs::write(home.at("text.mp4"), "no film").unwrap();
    let before = home.names();
    for (arguments, why) in [
        (&["none.mp4"][..], "none.mp4: cannot be read"),
        (&["text.mp4"], "text.mp4: "),
        (&["film.mp4", "-o", "analysis.txt"], "must end in .json"),
        (&["film.mp4", "--report", "report"], "must end in .html"),
        (&["film.mp4", "-o", "none/a.json"], "its folder cannot be opened"),
        (&["film.mp4", "--model", "dinov9"], "allowed are dinov3-vits16"),
        (&["film.mp4", "--recursive"], "--recursive is for folders"),
        (&[".", "-o", "a.json"], "--output names one file"),
        (&["film.mp4", "--frames", "0"], "allowed is more than 0 and up to 240"),
    ] {
        let run = home.perceive(arguments);
        assert!(run.error().contains(why), "{arguments:?}: {run:?}");
    }
    for (arguments, why) in [
        (&["film.mp4"][..], "not a picture"),
        (&["a dog"], "Text embedding not supported. Use VLM for text understanding."),
        (&["film.mp4@1"], "holds no analyses"),
    ] {
        let run = home.search(arguments);
        assert!(run.error().contains(why), "{arguments:?}: {run:?}");
    }
    assert_eq!(home.names(), before);
    let mut bare = program("parallax");
    let run =
        finish(bare.args(["perceive", "film.mp4", "--weights", "."]).current_dir(home.0.path()));
    assert!(run.error().contains("weights fetch dinov3-vits16"), "{run:?}");
}

#[test]
fn a_folder_is_looked_at_and_what_fails_does_not_stop_the_rest() {
    let home = Home::new();
    let folder = home.at("films");
    std::fs::create_dir(&folder).unwrap();
    film(&folder.join("a.mp4"), 8);
    std::fs::write(folder.join("b.mp4"), "no film").unwrap();
    picture(&folder.join("a.mp4"), "0", &folder.join("c.png"));
    let run = home.perceive(&["films"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("2 looked at, 0 skipped, 1 failed"), "{run:?}");
    let run = home.perceive(&["films"]);
    assert!(run.stderr.contains("0 looked at, 2 skipped, 1 failed"), "{run:?}");
    let found = home.search(&["films/c.png", "--in", "films"]);
    assert!(found.stdout.lines().any(|line| line.ends_with("c.png")), "{found:?}");
}

#[test]
fn an_interrupted_look_leaves_nothing() {
    let home = Home::new();
    film(&home.at("film.mp4"), 600);
    let before = home.names();
    let mut command = home.command("perceive");
    let mut running =
        Running::start(command.args(["film.mp4", "--frames", "240", "--report", "r.html"]));
    while !running.said().1.contains("looking at") && !running.has_ended() {
        std::thread::sleep(Duration::from_millis(10));
    }
    running.signal(Signal::SIGINT);
    let run = running.wait();
    assert_eq!(run.code, Some(130), "{run:?}");
    assert_eq!(home.names(), before);
}
