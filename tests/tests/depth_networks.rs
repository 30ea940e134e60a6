//! Depth networks on tiny random models, through the whole command.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use parallax_tests::{
    Clip, Finished, Running, clip, convert, finish, frame_md5s, left_eye_psnr, program,
};

/// A film, and tiny models where `weights fetch` would bring them.
struct Home {
    folder: tempfile::TempDir,
    source: PathBuf,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = clip(&folder.path().join("film.mp4"), Clip { frames: 12, ..Clip::default() });
        let home = Self { folder, source };
        parallax_tiny_weights::write_depth(&home.weights(), 3).unwrap();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn weights(&self) -> PathBuf {
        self.path("data/parallax/weights")
    }

    fn at_home(&self, mut command: Command) -> Command {
        command.env("XDG_DATA_HOME", self.path("data"));
        command
    }

    /// Converts the film to `out` with small pictures for the networks.
    fn convert(&self, out: &str, more: &[&str]) -> Finished {
        let mut command = self.at_home(convert(&self.source));
        if !more.contains(&"--depth-size") {
            command.args(["--depth-size", "140"]);
        }
        command.arg("-o").arg(self.path(out)).args(more);
        finish(&mut command)
    }

    /// Refused, with these words in its error and nothing left behind.
    fn refused(&self, more: &[&str], words: &[&str]) {
        let refused = self.convert("refused.mp4", more);
        assert_eq!(refused.code, Some(1), "{more:?}: {refused:?}");
        let error = refused.stderr.lines().find(|line| line.starts_with("error: ")).unwrap();
        for word in words {
            assert!(error.contains(word), "{more:?}: {word:?} in {error}");
        }
        let left = self.folder.path().read_dir().unwrap();
        let left = left.filter(|entry| {
            entry.as_ref().unwrap().file_name().to_string_lossy().contains("refused")
        });
        assert_eq!(left.count(), 0, "{more:?}");
    }
}

fn ready(finished: &Finished) {
    assert_eq!(finished.code, Some(0), "{finished:?}");
}

#[test]
fn the_network_that_is_there_is_taken_and_named() {
    let home = Home::new();
    let taken = home.convert("taken.mp4", &[]);
    ready(&taken);
    assert!(
        taken.stderr.contains("engine depth-anything: Depth Anything V2 Small is in"),
        "{taken:?}"
    );
    assert!(left_eye_psnr(&home.source, &home.path("taken.mp4")) > 30.0);
    // The same command by its engine's name makes the same film.
    let named = home.convert("named.mp4", &["--engine", "depth-anything"]);
    ready(&named);
    assert!(!named.stderr.contains("engine depth-anything:"), "{named:?}");
    assert_eq!(frame_md5s(&home.path("taken.mp4")), frame_md5s(&home.path("named.mp4")));
    // Without a network it is draft, and how to get better is said.
    fs::rename(home.path("data"), home.path("gone")).unwrap();
    let mut command = home.at_home(convert(&home.source));
    let draft = finish(command.arg("-o").arg(home.path("draft.mp4")));
    ready(&draft);
    let line = "engine draft, a preview: no depth network is here; better: `parallax weights fetch \
                depth-anything-v2-small` (99 MB)";
    assert!(draft.stderr.contains(line), "{draft:?}");
    assert_ne!(frame_md5s(&home.path("draft.mp4")), frame_md5s(&home.path("taken.mp4")));
    let left = fs::read_dir(home.folder.path()).unwrap().filter(|entry| {
        entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".parallax")
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn what_was_begun_without_a_network_says_how_to_go_on_once_one_is_there() {
    let home = Home::new();
    clip(&home.source, Clip { frames: 100, ..Clip::default() });
    fs::rename(home.path("data"), home.path("later")).unwrap();
    let out = home.path("film_3d.mp4");
    let command = || {
        let mut command = home.at_home(convert(&home.source));
        command.arg("-o").arg(&out);
        command
    };
    let mut run = Running::start(command().arg("--json"));
    while !run.said().0.contains("\"started\"") {
        assert!(!run.has_ended(), "{:?}", run.said());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    run.signal(Signal::SIGINT);
    assert_eq!(run.wait().code, Some(130));
    fs::rename(home.path("later"), home.path("data")).unwrap();
    let refused = finish(command().arg("--resume"));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let way = "pass --engine draft, or pass --restart to start over";
    assert!(refused.error().ends_with(way), "{refused:?}");
    ready(&finish(command().args(["--resume", "--engine", "draft"])));
    assert_eq!(frame_md5s(&out).len(), 100);
}

#[test]
fn a_film_is_seen_in_windows() {
    let home = Home::new();
    ready(&home.convert("film_3d.mp4", &["--engine", "video-depth-anything"]));
    let windows = frame_md5s(&home.path("film_3d.mp4"));
    assert_eq!(windows.len(), 12);
    assert!(left_eye_psnr(&home.source, &home.path("film_3d.mp4")) > 30.0);
    // Or frame by frame.
    let streaming = ["--engine", "video-depth-anything", "--depth-mode", "streaming"];
    ready(&home.convert("streamed.mp4", &streaming));
    let streamed = frame_md5s(&home.path("streamed.mp4"));
    assert!(streamed.len() == 12 && streamed != windows);
    home.refused(
        &["--depth-mode", "streaming"],
        &["--depth-mode is for the engine video-depth-anything"],
    );
}

#[test]
fn depth_of_networks_is_exported() {
    let home = Home::new();
    let depth = |out: &str, more: &[&str]| {
        let mut command = home.at_home(program("parallax"));
        command.arg("depth").arg(&home.source).args(["--depth-size", "140", "-o"]);
        ready(&finish(command.arg(home.path(out)).args(more)));
        fs::read(home.path(out)).unwrap()
    };
    let one = depth("one.npy", &["--engine", "depth-anything"]);
    assert_eq!(one, depth("again.npy", &["--engine", "depth-anything"]));
    let mut command = home.at_home(program("parallax"));
    command.arg("preview").arg(&home.source).args(["--depth-size", "140", "--count", "1"]);
    let sheet = finish(command.args(["--width", "64", "-o"]).arg(home.path("sheet.png")));
    ready(&sheet);
    assert!(sheet.stderr.contains("engine depth-anything: Depth Anything V2 Small"), "{sheet:?}");
    let bent = depth("bent.npy", &["--engine", "depth-anything", "--depth-curve", "2"]);
    let fewer = depth("fewer.npy", &["--engine", "depth-anything", "--depth-every", "3"]);
    assert!(one.len() == bent.len() && one != bent);
    assert!(one.len() == fewer.len() && one != fewer);
}

#[test]
fn what_is_no_model_is_refused_by_name() {
    let home = Home::new();
    let single = home.weights().join("Depth-Anything-V2-Small-hf/model.safetensors");
    let video = home.weights().join("Video-Depth-Anything-Small/model.safetensors");
    home.refused(&["--depth-size", "139"], &["--depth-size: 139", "allowed are 140 to 1036"]);
    home.refused(&["--depth-curve", "-4"], &["--depth-curve: -4", "allowed are -3 to 3"]);
    home.refused(&["--depth-every", "0"], &["--depth-every: 0", "allowed are 1 to 8"]);
    home.refused(
        &["--depth-model", "magic"],
        &["--depth-model", "magic", "depth-anything-v2-small"],
    );
    let large = ["--depth-model", "depth-anything-v1-large"];
    home.refused(
        &large,
        &["depth-anything-large-hf", "`parallax weights fetch depth-anything-v1-large`"],
    );
    home.refused(&["--engine", "draft"], &["--depth-size is for the engines depth-anything, "]);

    // Another family's weights.
    let bytes = fs::read(&single).unwrap();
    fs::copy(&video, &single).unwrap();
    home.refused(&[], &["model.safetensors", "found Video Depth Anything"]);
    // Cut short.
    fs::write(&single, &bytes[..bytes.len() / 2]).unwrap();
    home.refused(&[], &["model.safetensors", "cut short"]);
    fs::write(&single, b"not weights at all").unwrap();
    home.refused(&[], &["model.safetensors"]);
    // A pickle that would run a program, in place of a checkpoint.
    let pth = home.weights().join("Video-Depth-Anything-Small/video_depth_anything_vits.pth");
    write_pickle(&pth, b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00trueR.");
    home.refused(
        &["--engine", "video-depth-anything"],
        &["video_depth_anything_vits.pth", "os.system"],
    );
}

/// A checkpoint of PyTorch's kind whose description is `pickle`.
fn write_pickle(path: &Path, pickle: &[u8]) {
    let mut zip = zip::ZipWriter::new(fs::File::create(path).unwrap());
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file("archive/data.pkl", stored).unwrap();
    std::io::Write::write_all(&mut zip, pickle).unwrap();
    zip.finish().unwrap();
}
