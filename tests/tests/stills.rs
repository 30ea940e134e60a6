//! Pictures, and folders of pictures and films.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use parallax_tests::{Clip, Finished, Running, clip, finish, left_eye_psnr, probe, program};
use serde_json::Value;

fn convert(input: &Path) -> Command {
    let mut command = program("parallax");
    command.arg("convert").arg(input).args(["--preset", "ultrafast", "--engine", "draft"]);
    command
}

/// A picture of `size` by ffmpeg, with samples of the kind `pixels`.
fn picture(path: &Path, size: &str, pixels: &str, filter: &str) -> PathBuf {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i"]);
    let (width, height) = size.split_once('x').unwrap();
    // Its own sizes are even.
    let cut = format!("format=rgb24,crop={width}:{height}:40:24:exact=1");
    command.arg("testsrc2=s=128x96").args(["-vf", &format!("{cut},{filter}format={pixels}")]);
    let status = command.args(["-frames:v", "1", "-q:v", "2"]).arg(path).status();
    assert!(status.unwrap().success(), "{command:?}");
    path.to_owned()
}

fn size(path: &Path) -> (u64, u64) {
    let video = &probe(path)["streams"][0];
    (video["width"].as_u64().unwrap(), video["height"].as_u64().unwrap())
}

/// A profile of no colours in particular, of red, green and blue.
fn profile() -> Vec<u8> {
    let mut profile = vec![7; 200];
    profile[16..20].copy_from_slice(b"RGB ");
    profile
}

/// A segment of a JPEG.
fn segment(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 2).unwrap().to_be_bytes();
    [&[0xFF, kind], &length[..], body].concat()
}

/// Notes that say that the picture is to be turned by a quarter.
const TURN: &[u8] = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";

/// The JPEG with a profile, and notes that say that it is to be turned by a quarter.
fn noted(jpeg: &Path) {
    let picture = std::fs::read(jpeg).unwrap();
    let icc = [b"ICC_PROFILE\0\x01\x01".to_vec(), profile()].concat();
    let notes = [segment(0xE1, TURN), segment(0xE2, &icc)].concat();
    std::fs::write(jpeg, [&picture[..2], &notes, &picture[2..]].concat()).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn events(run: &Finished) -> Vec<Value> {
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_photo_is_turned_upright_and_keeps_its_profile_and_its_format() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let photo = picture(&at("photo.jpg"), "60x48", "yuvj420p", "");
    let upright = picture(&at("upright.png"), "60x48", "rgb24", "transpose=clock,");
    noted(&photo);
    let run = finish(&mut convert(&photo));
    assert_eq!(run.code, Some(0), "{run:?}");
    let made = at("photo_LRF_Full_SBS.jpg");
    assert_eq!(names(folder.path()), ["photo.jpg", "photo_LRF_Full_SBS.jpg", "upright.png"]);
    assert_eq!(
        (size(&made), probe(&made)["streams"][0]["codec_name"].clone()),
        ((96, 60), "mjpeg".into())
    );
    assert!(
        left_eye_psnr(&upright, &made) > 25.0,
        "turned otherwise: {}",
        left_eye_psnr(&upright, &made)
    );
    let bytes = std::fs::read(&made).unwrap();
    let has = |wanted: &[u8]| bytes.windows(wanted.len()).any(|found| found == wanted);
    assert!(has(&profile()) && has(b"Exif\0\0"), "its profile and its notes");
    assert!(has(b"\x01\x12\0\x03\0\0\0\x01\0\x01") && !has(b"\x01\x12\0\x03\0\0\0\x01\0\x06"));

    let error = finish(&mut convert(&photo)).error().to_owned();
    assert!(error.contains("exists already; pass --overwrite"), "{error}");
    let out = at("out.png");
    let layout = ["--layout", "half-tb", "--max-width", "24"];
    let run = finish(convert(&photo).args(layout).arg("-o").arg(&out));
    assert_eq!((run.code, size(&out)), (Some(0), (24, 30)), "{run:?}");
    assert!(std::fs::read(&out).unwrap().windows(4).any(|kind| kind == b"iCCP"));
}

#[test]
fn every_layout_makes_a_picture_of_any_size() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let art = picture(&at("art.png"), "33x25", "rgb48be", "");
    let cases = [
        ("half-sbs", "_LR", (34, 25)),
        ("full-tb", "_TBF_fulltb", (33, 50)),
        ("cross-eyed", "_RLF_cross", (66, 25)),
        ("right-only", "_right", (33, 25)),
        ("rgbd", "_RGBD", (66, 25)),
        ("anaglyph-dubois", "_redcyan_dubois", (33, 25)),
        ("vr180", "_180x180_LR", (100, 50)),
    ];
    for (layout, tag, expected) in cases {
        let run = finish(convert(&art).args(["--layout", layout]));
        assert_eq!(run.code, Some(0), "{run:?}");
        let made = at(&format!("art{tag}.png"));
        assert_eq!(size(&made), expected, "{layout}");
        assert_eq!(probe(&made)["streams"][0]["pix_fmt"], "rgb48be", "{layout}");
    }
    let dot = picture(&at("dot.png"), "1x1", "rgb24", "");
    assert_eq!(finish(&mut convert(&dot)).code, Some(0));
    assert_eq!(size(&at("dot_LRF_Full_SBS.png")), (2, 1));
}

/// The WebP with notes, which are headed as they are in a JPEG.
fn noted_webp(webp: &Path, (width, height): (u8, u8)) {
    let picture = std::fs::read(webp).unwrap();
    assert_eq!(&picture[12..16], b"VP8 ");
    let chunk = |kind: &[u8], body: &[u8]| {
        let length = u32::try_from(body.len()).unwrap().to_le_bytes();
        [kind, &length, body, &[0][..body.len() % 2]].concat()
    };
    let head = chunk(b"VP8X", &[8, 0, 0, 0, width - 1, 0, 0, height - 1, 0, 0]);
    let body = [b"WEBP", &head[..], &picture[12..], &chunk(b"EXIF", TURN)].concat();
    std::fs::write(webp, chunk(b"RIFF", &body)).unwrap();
}

#[test]
fn odd_notes_spoil_no_sound_picture_and_hide_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let photo = picture(&at("photo.jpg"), "20x12", "yuvj420p", "");
    let whole = std::fs::read(&photo).unwrap();
    let odd = [
        ("empty.jpg", 0xE1, &b"Exif\0\0"[..]),
        ("garbage.jpg", 0xE1, b"Exif\0\0garbage"),
        ("count.jpg", 0xE1, b"Exif\0\0MM\0*\0\0\0\x08\xFF\xFF"),
        ("short.jpg", 0xE0, b"AVI1"),
        ("profile.jpg", 0xE2, b"ICC_PROFILE\0\x02\x02half of one"),
    ];
    for (name, kind, body) in odd {
        let bytes = [&whole[..2], &segment(kind, body), &whole[2..]].concat();
        std::fs::write(at(name), &bytes).unwrap();
        std::fs::write(at(&format!("cut_{name}")), &bytes[..bytes.len() - whole.len() / 3])
            .unwrap();
    }
    noted_webp(&picture(&at("art.webp"), "20x12", "yuv420p", ""), (20, 12));
    let run = finish(convert(folder.path()).args(["--jobs", "2", "--segment-seconds", "5"]));
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("7 converted, 0 skipped, 5 failed"), "{run:?}");
    let plain = std::fs::read(at("photo_LRF_Full_SBS.jpg")).unwrap();
    for (name, ..) in odd {
        let stem = name.strip_suffix(".jpg").unwrap();
        let made = std::fs::read(at(&format!("{stem}_LRF_Full_SBS.jpg"))).unwrap();
        assert!(made == plain, "{name}: other samples");
        let cut = format!("cut_{name}: damaged or cut short");
        assert!(run.stderr.contains(&cut), "{cut}: {run:?}");
    }
    assert_eq!(size(&at("art_LRF_Full_SBS.png")), (24, 20), "as the notes say");
    let left_out =
        |what: &str| run.stderr.matches(&format!("{what} is left out: it cannot be read")).count();
    assert_eq!((left_out("what the camera noted"), left_out("the ICC profile")), (3, 1), "{run:?}");
}

#[test]
fn a_picture_that_jpeg_does_not_hold_is_refused_before_anything_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let wide = picture(&at("wide.jpg"), "33x16", "yuvj420p", "scale=33000:2,");
    let mut engine = program("parallax");
    engine.arg("convert").arg(&wide).args(["--engine", "stereocrafter", "--weights"]);
    let run = finish(engine.arg(folder.path()));
    let why = "the result has 66000x2 pixels, and a JPEG at most 65500 on a side: pass -o NAME.png or --max-width";
    assert!(run.error().contains(why), "{run:?}");
    let run = finish(convert(&wide).args(["--max-width", "16384"]));
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[test]
fn a_pipe_is_no_picture_and_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.jpg");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let run = Running::start(&mut convert(&pipe)).wait_at_most(std::time::Duration::from_secs(60));
    assert!(run.error().contains("not a file"), "{run:?}");
}

#[test]
fn what_is_no_whole_picture_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let photo = picture(&at("photo.jpg"), "61x47", "yuvj420p", "");
    let whole = std::fs::read(&photo).unwrap();
    let mut moving = Command::new("ffmpeg");
    moving.args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=s=16x16"]);
    let status = moving.args(["-frames:v", "2", "-f", "apng"]).arg(at("moving.png")).status();
    assert!(status.unwrap().success(), "{moving:?}");
    let moving = std::fs::read(at("moving.png")).unwrap();
    for (name, bytes, why) in [
        ("moving.png", &moving[..], "a PNG that moves"),
        ("moving.jpg", &whole.repeat(2), "several JPEGs in one file"),
        ("cut.jpg", &whole[..whole.len() / 2], "damaged or cut short"),
        ("head.jpg", &whole[..8], "head.jpg: damaged or cut short: a truncated chunk was read"),
        ("text.jpg", b"no picture at all", "not a readable video"),
        ("phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "make a JPEG or PNG of it first"),
    ] {
        std::fs::write(at(name), bytes).unwrap();
        let run = finish(&mut convert(&at(name)));
        let error = run.error();
        assert!(error.contains(why) && error.contains(name), "{name}: {error}");
        std::fs::remove_file(at(name)).unwrap();
    }
    for (args, why) in [
        (&["--start", "1"][..], "--start is for films"),
        (&["--resume", "--overwrite"], "--resume is for films"),
        (&["--restart"], "--restart is for films"),
        (&["--state-dir", "kept"], "--state-dir is for films"),
        (&["--codec", "h264"], "--codec is for films"),
        (&["--interlaced", "as-is"], "--interlaced is for films"),
        (&["--damaged", "refuse"], "--damaged is for films"),
        (&["-o", "film.mp4"][..], "must end in .png or .jpg or .jpeg"),
        (&["--recursive"][..], "is not a folder"),
    ] {
        let run = finish(convert(&photo).args(args));
        assert!(run.error().contains(why), "{run:?}");
    }
    assert_eq!(names(folder.path()), ["photo.jpg"]);
}

#[test]
fn a_folder_is_converted_once_and_what_fails_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("below")).unwrap();
    let error = finish(&mut convert(folder.path())).error().to_owned();
    assert!(
        error.contains("holds no films and no pictures") && error.contains("--recursive"),
        "{error}"
    );

    picture(&at("below/art.png"), "16x12", "rgb24", "");
    picture(&at("photo.jpg"), "16x12", "yuvj420p", "");
    picture(&at("photo_preview.png"), "16x12", "rgb24", "");
    std::fs::write(at("broken.jpg"), "no picture").unwrap();
    std::fs::write(at("notes.txt"), "not looked at").unwrap();
    clip(&at("film.mp4"), Clip { size: (32, 24), frames: 5, ..Clip::default() });
    let run = finish(convert(folder.path()).args(["--recursive", "--json"]));
    assert_eq!(run.code, Some(1), "{run:?}");
    let told = events(&run);
    let summary = told.last().unwrap();
    assert_eq!((&summary["converted"], &summary["skipped"]), (&3.into(), &1.into()), "{summary}");
    let failed = summary["failed"].as_array().unwrap();
    assert!(failed.len() == 1 && failed[0]["input"].as_str().unwrap().ends_with("broken.jpg"));
    for made in ["below/art_LRF_Full_SBS.png", "photo_LRF_Full_SBS.jpg", "film_LRF_Full_SBS.mp4"] {
        assert!(at(made).is_file(), "{made}: {:?}", names(folder.path()));
    }

    std::fs::remove_file(at("broken.jpg")).unwrap();
    let before = names(folder.path());
    let again = finish(convert(folder.path()).args(["--recursive", "--resume"]));
    assert_eq!(again.code, Some(0), "{again:?}");
    // Three sources, their three results, and the preview.
    assert!(again.stderr.contains("0 converted, 7 skipped, 0 failed"), "{again:?}");
    assert_eq!(names(folder.path()), before);

    // What is asked of films spares pictures, and says so; where there are no films it is refused.
    std::fs::remove_file(at("film_LRF_Full_SBS.mp4")).unwrap();
    std::fs::remove_file(at("photo_LRF_Full_SBS.jpg")).unwrap();
    let part = finish(convert(folder.path()).args(["--end", "0.1"]));
    assert_eq!(part.code, Some(0), "{part:?}");
    let spared = "photo.jpg is skipped: --end is for films, and this is a picture";
    assert!(part.stderr.contains(spared), "{part:?}");
    assert!(part.stderr.contains("1 converted, 2 skipped, 0 failed"), "{part:?}");
    assert!(at("film_LRF_Full_SBS.mp4").is_file() && !at("photo_LRF_Full_SBS.jpg").exists());
    for more in [&["--start", "1"][..], &["--fps", "10"]] {
        let refused = finish(convert(&at("below")).args(more));
        let error = refused.error();
        assert!(error.contains(more[0]) && error.contains("holds pictures alone"), "{error}");
    }
}

/// A folder in `folder` of which the name is so long that nobody can list it.
fn unlisted(folder: &Path) {
    let long = |name: &str| -> PathBuf {
        (0..11).fold(folder.join(name), |path, _| path.join(name.repeat(200)))
    };
    let (above, below) = (long("a"), long("b"));
    std::fs::create_dir_all(&above).unwrap();
    std::fs::create_dir_all(&below).unwrap();
    // Each of both names is short enough.
    std::fs::rename(folder.join("b"), above.join("b")).unwrap();
}

#[test]
fn a_folder_that_cannot_be_listed_is_told_and_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    unlisted(folder.path());
    let photo = picture(&folder.path().join("photo.jpg"), "16x12", "yuvj420p", "");
    let run = finish(convert(folder.path()).args(["--recursive", "--json"]));
    assert_eq!(run.code, Some(1), "{run:?}");
    let summary = events(&run).pop().unwrap();
    assert_eq!((&summary["converted"], &summary["not_done"]), (&1.into(), &0.into()), "{summary}");
    let failed = summary["failed"].as_array().unwrap();
    assert_eq!(failed.len(), 1, "{summary}");
    assert!(failed[0]["message"].as_str().unwrap().contains("cannot be listed"), "{summary}");
    assert!(photo.with_file_name("photo_LRF_Full_SBS.jpg").is_file());
}

#[test]
fn ctrl_c_stops_the_folder_and_not_just_the_file() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.mp4", "b.mp4"] {
        clip(&folder.path().join(name), Clip { frames: 100, ..Clip::default() });
    }
    let mut run = Running::start(convert(folder.path()).arg("--json"));
    while !run.said().0.contains("\"started\"") {
        assert!(!run.has_ended(), "{:?}", run.said());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    run.signal(Signal::SIGINT);
    let run = run.wait();
    assert_eq!(run.code, Some(130), "{run:?}");
    let told = events(&run);
    let summary = told.last().unwrap();
    assert_eq!((&summary["converted"], &summary["not_done"]), (&0.into(), &2.into()), "{run:?}");
    assert!(!folder.path().join("b_LRF_Full_SBS.mp4").exists());
}
