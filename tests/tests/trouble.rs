//! What cannot work gives one clear error, a non-zero exit code and nothing under the final name.

#![allow(clippy::unwrap_used)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use parallax_tests::{
    Clip, Finished, SmallDisk, audio_md5, clip, convert, finish, frame_md5s, probe, program,
};

/// A folder with a clip in it.
struct Place {
    folder: tempfile::TempDir,
    film: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let film = clip(&folder.path().join("film.mp4"), Clip::default());
        Self { folder, film }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        names(self.folder.path())
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Checks the one error: it names the file and says all of `words`, on one line.
fn refused(run: &Finished, file: &str, words: &[&str]) {
    let error = run.error();
    assert!(error.lines().count() == 1, "{error}");
    for word in words.iter().chain([&file]) {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
    assert_eq!(run.code, Some(1));
    assert!(error.matches(file).count() == 1, "said once: {error}");
}

/// Converts a bad input and checks the error and that nothing is left.
fn bad_input(make: impl FnOnce(&Path, &Path), words: &[&str]) {
    let place = Place::new();
    let bad = place.path("bad.mp4");
    make(&place.film, &bad);
    let before = place.names();
    let run = finish(convert(&bad).arg("-o").arg(place.path("out.mp4")));
    refused(&run, "bad.mp4", words);
    assert_eq!(place.names(), before, "nothing is left over");
}

#[test]
fn a_file_without_its_index_is_refused() {
    let cut = |film: &Path, bad: &Path| {
        let bytes = std::fs::read(film).unwrap();
        std::fs::write(bad, &bytes[..bytes.len() / 2]).unwrap();
    };
    bad_input(cut, &["not a readable video", "moov atom not found", "allowed containers"]);
}

/// A film of 48 plain pictures at 24 per second with sound; the pictures `bad` cannot be read.
fn spoilt(path: &Path, bad: &[usize]) {
    let whole = path.with_file_name("whole.mp4");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=96x64:rate=24:duration=2"]);
    command.args(["-f", "lavfi", "-i", "sine=duration=2", "-c:v", "libx264", "-bf", "0"]);
    command.args(["-g", "12", "-sc_threshold", "0", "-qp", "12", "-pix_fmt", "yuv420p"]);
    assert!(command.arg(&whole).status().unwrap().success());
    let mut bytes = std::fs::read(&whole).unwrap();
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-select_streams", "v:0", "-of", "csv=p=0"]);
    let listed = command.args(["-show_entries", "packet=pos,size"]).arg(&whole).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    for (_, line) in listed.lines().enumerate().filter(|(number, _)| bad.contains(number)) {
        let fields: Vec<usize> = line.split(',').filter_map(|n| n.parse().ok()).collect();
        let (size, at) = (fields[0], fields[1]);
        // Its first bytes say how long the rest is.
        bytes[at..at + size.min(16)].fill(0xff);
    }
    std::fs::write(path, bytes).unwrap();
    std::fs::remove_file(whole).unwrap();
}

#[test]
fn bad_pictures_are_replaced_and_told_with_their_places_in_the_film() {
    let place = Place::new();
    let (bad, out) = (place.path("bad.mp4"), place.path("out.mp4"));
    spoilt(&bad, &[5, 30, 31]);
    let mut command = convert(&bad);
    command.args(["--engine", "copy", "--json", "-o"]).arg(&out);
    let run = finish(&mut command);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(probe(&out)["streams"][0]["nb_read_frames"], "48");
    assert_eq!(audio_md5(&bad), audio_md5(&out));
    let events: Vec<serde_json::Value> =
        run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = events.last().unwrap()["damage"]["picture"].clone();
    assert_eq!(told["count"], 3, "{events:?}");
    let places: Vec<f64> =
        told["places"].as_array().unwrap().iter().map(|at| at.as_f64().unwrap()).collect();
    for (found, frame) in places.iter().zip([5.0, 30.0, 31.0]) {
        assert!((found - frame / 24.0).abs() < 1e-3, "{places:?}");
    }
    let segments = events.iter().filter(|event| event["event"] == "damage");
    assert_eq!(segments.filter_map(|event| event["segment"].as_u64()).count(), 2);
    let warned = |event: &&serde_json::Value| event["event"] == "warning";
    let warning = events.iter().find(warned).unwrap()["message"].as_str().unwrap();
    assert!(warning.contains("3 pictures cannot be read"), "{warning}");
}

#[test]
fn damage_is_refused_where_that_is_asked_for_or_where_there_is_hardly_anything_else() {
    let place = Place::new();
    let (bad, out) = (place.path("bad.mp4"), place.path("out.mp4"));
    spoilt(&bad, &[5, 30, 31]);
    let strict = ["--engine", "copy", "--damaged", "refuse", "-o"];
    let run = finish(convert(&bad).args(strict).arg(&out));
    assert_eq!((run.code, out.exists()), (Some(1), false), "{run:?}");
    assert!(run.error().contains("damaged or truncated"), "{run:?}");
    spoilt(&bad, &(5..40).collect::<Vec<_>>());
    let run = finish(convert(&bad).args(["--engine", "copy", "--restart", "-o"]).arg(&out));
    assert_eq!((run.code, out.exists()), (Some(1), false), "{run:?}");
    assert!(run.error().contains("mostly damaged: 26 of 48 pictures"), "{run:?}");
}

#[test]
fn a_file_that_lost_its_end_is_converted_as_far_as_it_goes_and_told() {
    let place = Place::new();
    let (whole, bad) = (place.path("whole.mp4"), place.path("bad.mp4"));
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(&place.film).args(["-c", "copy", "-movflags"]);
    assert!(command.arg("+faststart").arg(&whole).status().unwrap().success());
    let bytes = std::fs::read(&whole).unwrap();
    std::fs::write(&bad, &bytes[..bytes.len() * 6 / 10]).unwrap();
    let out = place.path("out.mp4");
    let run = finish(convert(&bad).args(["--engine", "copy", "-o"]).arg(&out));
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("damaged: the file ends before its headers say"), "{run:?}");
    let kept: usize =
        probe(&out)["streams"][0]["nb_read_frames"].as_str().unwrap().parse().unwrap();
    assert!((40..60).contains(&kept), "{kept} of 80 frames");
    std::fs::remove_file(&out).unwrap();
    let strict = ["--engine", "copy", "--damaged", "refuse", "-o"];
    let run = finish(convert(&bad).args(strict).arg(&out));
    refused(&run, "bad.mp4", &["truncated", "of 80 frames"]);
    assert!(!out.exists());
}

#[test]
fn text_is_not_a_video() {
    let text = |_: &Path, bad: &Path| std::fs::write(bad, "Dear diary,\n").unwrap();
    bad_input(text, &["not a readable video", "allowed containers"]);
}

#[test]
fn nothing_is_not_a_video() {
    bad_input(|_, bad| std::fs::write(bad, "").unwrap(), &["empty"]);
}

#[test]
fn sound_alone_is_not_a_video() {
    let sound = |film: &Path, bad: &Path| {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-i"]).arg(film).args(["-map", "0:a", "-c", "copy"]);
        assert!(command.arg(bad).status().unwrap().success());
    };
    bad_input(sound, &["no video stream"]);
}

#[test]
fn a_playlist_reaches_no_address() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let playlist = |_: &Path, bad: &Path| {
        let text = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://{address}/a.ts\n#EXT-X-ENDLIST\n"
        );
        std::fs::write(bad, text).unwrap();
    };
    bad_input(playlist, &["not a readable video", "allowed containers"]);
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn an_absurd_resolution_is_refused() {
    let claim = |film: &Path, bad: &Path| {
        // The size in the headers, not the pictures: 65535 x 65535 would not fit into any memory.
        let mut bytes = std::fs::read(film).unwrap();
        let at = bytes.windows(4).rposition(|tag| tag == b"avc1").unwrap() + 4 + 24;
        assert_eq!(bytes[at..at + 4], [0, 128, 0, 72]);
        bytes[at..at + 4].copy_from_slice(&[0xff; 4]);
        // Without its parameter sets the codec cannot correct the claim.
        let at = bytes.windows(4).rposition(|tag| tag == b"avcC").unwrap();
        bytes[at..at + 4].copy_from_slice(b"free");
        std::fs::write(bad, bytes).unwrap();
    };
    bad_input(claim, &["65535x65535", "allowed"]);
}

#[test]
fn a_picture_of_one_row_is_refused_by_its_size() {
    let make = |_: &Path, bad: &Path| {
        let source = "testsrc2=size=96x32:rate=25:duration=0.4,format=yuv444p,scale=3:1";
        let mut ffmpeg = std::process::Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-f", "lavfi", "-i", source]);
        ffmpeg.args(["-c:v", "ffv1", "-f", "matroska"]).arg(bad);
        assert!(ffmpeg.status().unwrap().success());
    };
    bad_input(make, &["3x1", "too small", "at least 2x2"]);
}

#[test]
fn empty_folders_and_missing_files_are_named() {
    let place = Place::new();
    let empty = place.path("empty");
    std::fs::create_dir(&empty).unwrap();
    let run = finish(&mut convert(&empty));
    refused(&run, empty.to_str().unwrap(), &["holds no films and no pictures"]);
    std::fs::remove_dir(&empty).unwrap();
    let run = finish(&mut convert(&place.path("missing.mp4")));
    refused(&run, "missing.mp4", &["No such file"]);
    assert_eq!(place.names(), ["film.mp4"]);
}

#[test]
fn an_output_that_cannot_be_is_refused_before_any_work() {
    let place = Place::new();
    std::fs::create_dir(place.path("folder.mp4")).unwrap();
    for (output, named, why) in [
        (place.path("no/such/out.mp4"), "no/such/out.mp4", "folder cannot be opened"),
        (place.path("out.avi"), "out.avi", "must end in .mp4 or .mkv"),
        (place.film.clone(), "film.mp4", "would replace the input"),
        (place.path("folder.mp4"), "folder.mp4", "is a folder"),
        (PathBuf::from("/proc/out.mp4"), "/proc", "cannot be written to"),
    ] {
        let run = finish(convert(&place.film).arg("--overwrite").arg("-o").arg(&output));
        refused(&run, named, &[why]);
    }
    assert_eq!(place.names(), ["film.mp4", "folder.mp4"]);
}

#[test]
fn a_sheet_or_depth_that_cannot_be_written_is_refused_before_any_work() {
    let place = Place::new();
    std::fs::create_dir(place.path("folder.png")).unwrap();
    // Whoever begins with the film finds that it is none.
    let film = place.path("text.mp4");
    std::fs::write(&film, "text").unwrap();
    for (command, output, why) in [
        ("preview", "no/such/sheet.png", "folder cannot be opened"),
        ("preview", "/proc/sheet.png", "cannot be written to"),
        ("preview", "folder.png", "is a folder"),
        ("depth", "no/such/depth.npy", "folder cannot be opened"),
        ("depth", "/proc/depth.mkv", "cannot be written to"),
        ("depth", "no/such/pictures", "folder cannot be opened"),
    ] {
        let mut run = program("parallax");
        let run = finish(run.arg(command).arg(&film).arg("-o").arg(place.path(output)));
        assert_eq!(run.code, Some(1), "{command} {output}: {run:?}");
        assert!(run.error().contains(why), "{command} {output}: {run:?}");
    }
    assert_eq!(place.names(), ["film.mp4", "folder.png", "text.mp4"]);
}

#[test]
fn a_read_only_folder_is_refused_before_any_work() {
    let place = Place::new();
    std::fs::create_dir(place.path("disk")).unwrap();
    let mut disk = SmallDisk::mount(&place.path("disk"), "4m");
    disk.freeze();
    let mut command = convert(&place.film);
    let run = finish(&mut disk.command(command.arg("-o").arg(disk.path().join("out.mp4"))));
    refused(&run, disk.path().to_str().unwrap(), &["cannot be written to", "Read-only"]);
    let mut command = convert(&place.film);
    command.arg("-o").arg(place.path("out.mp4")).arg("--state-dir").arg(disk.path().join("state"));
    let run = finish(&mut disk.command(&command));
    refused(&run, disk.path().to_str().unwrap(), &["state", "Read-only"]);
    assert_eq!((place.names(), disk.list().len()), (vec!["disk".into(), "film.mp4".into()], 0));
}

#[test]
fn an_existing_output_is_left_alone() {
    let place = Place::new();
    let out = place.path("out.mp4");
    std::fs::write(&out, "precious").unwrap();
    let run = finish(convert(&place.film).arg("-o").arg(&out));
    refused(&run, "out.mp4", &["exists already", "--overwrite"]);
    let run = finish(convert(&place.film).arg("-o").arg(&out).arg("--resume"));
    refused(&run, "out.mp4", &["exists already", "--overwrite"]);
    assert_eq!(std::fs::read(&out).unwrap(), b"precious");
    assert_eq!(place.names(), ["film.mp4", "out.mp4"]);
    let run = finish(convert(&place.film).arg("-o").arg(&out).arg("--overwrite"));
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(probe(&out)["streams"][0]["width"], 256);
    assert_eq!(place.names(), ["film.mp4", "out.mp4"]);
}

#[test]
fn a_folder_with_anything_else_in_it_is_no_state_folder() {
    let place = Place::new();
    let state = place.path("documents");
    std::fs::create_dir(&state).unwrap();
    std::fs::write(state.join("parallax.db"), "precious").unwrap();
    for flag in ["--resume", "--restart"] {
        let mut command = convert(&place.film);
        command.arg("--state-dir").arg(&state).arg(flag);
        refused(&finish(&mut command), "documents", &["is not the state folder", "parallax.db"]);
    }
    assert_eq!(names(&state), ["parallax.db"]);
    assert_eq!(place.names(), ["documents", "film.mp4"]);
}

/// Fills a disk of each size at another step, then makes room and resumes.
fn full_disk(sizes: &[&str], output: impl Fn(&Path) -> PathBuf, state: impl Fn(&Path) -> PathBuf) {
    let place = Place::new();
    let plain = place.path("plain.mp4");
    assert_eq!(finish(convert(&place.film).arg("-o").arg(&plain)).code, Some(0));
    std::fs::create_dir(place.path("disk")).unwrap();
    for size in sizes {
        let mut disk = SmallDisk::mount(&place.path("disk"), size);
        let command = |disk: &SmallDisk, flag: Option<&str>| {
            let mut command = convert(&place.film);
            command.arg("--ignore-room").arg("-o").arg(output(place.folder.path()));
            command.arg("--state-dir").arg(state(place.folder.path())).args(flag);
            disk.command(&command)
        };
        let run = finish(&mut command(&disk, None));
        let error = run.error();
        let told = ["no space left", "No space left", "disk is full"];
        assert!(told.iter().any(|told| error.contains(told)), "{size}: {error}");
        assert!(error.contains("disk/"), "{size}: names the place: {error}");
        assert_eq!(run.code, Some(1));
        // The final name and unfinished files beside it: none of that.
        let left: Vec<_> = disk.list().into_iter().chain(place.names()).collect();
        assert!(!left.iter().any(|name| name.contains("out.mp4")), "{size}: {left:?}");

        disk.resize("16m");
        let mut flag = None;
        if disk.seen_from_outside().join("state/conversion.json").exists() {
            let again = finish(&mut command(&disk, None));
            assert!(again.error().contains("--resume"), "{size}: {again:?}");
            flag = Some("--resume");
        }
        let run = finish(&mut command(&disk, flag));
        assert_eq!(run.code, Some(0), "{size}: {run:?}");
        let out = output(&disk.seen_from_outside().join(".."));
        assert_eq!(frame_md5s(&out), frame_md5s(&plain), "{size}");
        assert_eq!(audio_md5(&out), audio_md5(&place.film), "{size}");
        assert!(!disk.list().contains(&"state".to_owned()), "{size}: the state folder is gone");
        let _ = std::fs::remove_file(&out);
    }
}

#[test]
fn a_disk_that_is_too_small_is_refused_in_numbers_before_the_first_frame() {
    let place = Place::new();
    std::fs::create_dir(place.path("disk")).unwrap();
    let mut disk = SmallDisk::mount(&place.path("disk"), "1m");
    let command = |disk: &SmallDisk, at: [&str; 2], flag: Option<&str>| {
        let mut command = convert(&place.film);
        command.arg("-o").arg(place.path(at[0])).arg("--state-dir").arg(place.path(at[1]));
        disk.command(command.args(flag))
    };
    let before = place.names();
    for at in [["disk/out.mp4", "state"], ["out.mp4", "disk/state"]] {
        let run = finish(&mut command(&disk, at, None));
        refused(&run, "/disk", &["MB are needed there", "MB are free", "--ignore-room"]);
        assert_eq!((place.names(), disk.list().len()), (before.clone(), 0), "nothing is left");
    }
    disk.resize("16m");
    let run = finish(&mut command(&disk, ["out.mp4", "disk/state"], None));
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[test]
fn a_full_disk_is_told_and_the_conversion_continues_once_there_is_room() {
    let sizes = ["4k", "32k", "160k", "352k", "448k", "544k"];
    full_disk(&sizes, |at| at.join("disk/out.mp4"), |at| at.join("disk/state"));
}

#[test]
fn a_full_disk_under_the_state_folder_is_told() {
    full_disk(&["128k", "400k"], |at| at.join("out.mp4"), |at| at.join("disk/state"));
}
