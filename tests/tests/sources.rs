//! Sources that are not what a camera makes: joined recordings, GIFs, films that are stereoscopic
//! already.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use parallax_tests::{Clip, clip, convert, finish, probe, program};

fn ffmpeg(arguments: &str, out: &Path) {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y"]).args(arguments.split_whitespace()).arg(out);
    assert!(command.status().unwrap().success(), "{command:?}");
}

/// Numbers the packets of a transport stream anew, so that none seems lost where parts are joined.
fn numbered(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut next = std::collections::HashMap::new();
    for packet in bytes.chunks_exact_mut(188) {
        if packet[3] & 0x10 != 0 {
            let number = next.entry((packet[1] & 0x1F, packet[2])).or_insert(0_u8);
            packet[3] = (packet[3] & 0xF0) | *number;
            *number = (*number + 1) % 16;
        }
    }
    bytes
}

/// A conversion with an engine that costs nothing.
fn quickly(source: &Path) -> Command {
    let mut command = convert(source);
    command.args(["--engine", "copy"]);
    command
}

#[test]
fn a_film_of_two_views_is_refused_until_one_of_them_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let source = clip(&folder.path().join("film.mp4"), Clip { frames: 6, ..Clip::default() });
    assert_eq!(finish(&mut quickly(&source)).code, Some(0));
    let stereo = folder.path().join("film_LRF_Full_SBS.mp4");
    let refused = finish(&mut quickly(&stereo));
    let said = refused.error();
    assert!(said.contains("already stereoscopic (side by side"), "{said}");
    assert!(said.contains("--source-layout"), "{said}");
    let out = folder.path().join("again.mp4");
    let mut again = quickly(&stereo);
    again.args(["--source-layout", "full-sbs-right", "--output"]).arg(&out);
    assert_eq!(finish(&mut again).code, Some(0));
    let (before, after) = (probe(&stereo), probe(&out));
    for side in ["width", "height"] {
        assert_eq!(before["streams"][0][side], after["streams"][0][side]);
    }
}

#[test]
fn joined_recordings_are_one_film_and_the_jump_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let part = folder.path().join("part.ts");
    let picture = "-f lavfi -i testsrc2=size=96x64:rate=25,trim=end_frame=25";
    let tone = "-f lavfi -i sine=sample_rate=48000:duration=1";
    let codecs = "-c:v libx264 -pix_fmt yuv420p -c:a aac";
    ffmpeg(&format!("{picture} {tone} {codecs}"), &part);
    let bytes = std::fs::read(&part).unwrap();
    let film = folder.path().join("film.ts");
    std::fs::write(&film, numbered([bytes.clone(), bytes].concat())).unwrap();
    let done = finish(&mut quickly(&film));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains("clock"), "{}", done.stderr);
    let result = probe(&folder.path().join("film_LRF_Full_SBS.mp4"));
    assert_eq!(result["streams"][0]["nb_frames"], "50");
    // Looked at, it is as long as what is converted, and its second half is found.
    let looked = finish(program("parallax").arg("inspect").arg(&film).arg("--json"));
    let report: serde_json::Value = serde_json::from_str(&looked.stdout).unwrap();
    let seconds = report["seconds"].as_f64().unwrap();
    assert!((1.9..2.2).contains(&seconds), "{seconds}");
    let sheet = folder.path().join("sheet.png");
    let mut preview = program("parallax");
    preview.arg("preview").arg(&film).args(["--times", "0.5,1.5", "--output"]).arg(&sheet);
    let drawn = finish(&mut preview);
    assert_eq!(drawn.code, Some(0), "{}", drawn.stderr);
}

/// A transport stream without one of its packets, in the middle.
fn with_a_hole(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = bytes.len() / 376 * 188;
    bytes.drain(at..at + 188);
    bytes
}

#[test]
fn a_damaged_film_is_looked_at_as_it_is_converted() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.ts");
    let picture = "-f lavfi -i testsrc2=size=96x64:rate=25,trim=end_frame=50";
    ffmpeg(&format!("{picture} -c:v libx264 -g 12 -pix_fmt yuv420p"), &whole);
    let film = folder.path().join("film.ts");
    std::fs::write(&film, with_a_hole(std::fs::read(&whole).unwrap())).unwrap();
    let done = finish(&mut quickly(&film));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains("damaged"), "no damage to look at: {}", done.stderr);
    for arguments in [
        &["inspect"][..],
        &["preview", "--count", "9", "--width", "64", "--output", "sheet.png"],
        &["depth", "--output", "depth.npy"],
    ] {
        let mut command = program("parallax");
        command.current_dir(folder.path()).args(arguments).arg(&film);
        let looked = finish(&mut command);
        assert_eq!(looked.code, Some(0), "{arguments:?}: {}", looked.stderr);
    }
}

#[test]
fn a_gif_becomes_a_film() {
    let folder = tempfile::tempdir().unwrap();
    let gif = folder.path().join("film.gif");
    ffmpeg("-f lavfi -i testsrc2=size=96x64:rate=10,trim=end_frame=5", &gif);
    let done = finish(&mut quickly(&gif));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let result = probe(&folder.path().join("film_LRF_Full_SBS.mp4"));
    assert_eq!(result["streams"][0]["nb_frames"], "5");
}
