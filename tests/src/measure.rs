//! What is in a file, by ffmpeg's account.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn run(command: &mut Command) -> (String, String) {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{command:?}: {stderr}");
    (stdout, stderr)
}

/// Streams and container of a file.
pub fn probe(path: &Path) -> Value {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-count_frames", "-show_streams", "-show_format", "-of", "json"]);
    let (json, _) = run(command.arg(path));
    serde_json::from_str(&json).unwrap()
}

/// Length of the video stream in seconds.
pub fn video_seconds(probed: &Value) -> f64 {
    let video = &probed["streams"][0];
    assert_eq!(video["codec_type"], "video");
    video["duration"].as_str().unwrap().parse().unwrap()
}

/// Time, length and MD5 of every decoded frame.
pub fn frame_md5s(path: &Path) -> Vec<String> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i"]).arg(path);
    let (text, _) = run(command.args(["-map", "0:v:0", "-f", "framemd5", "-"]));
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

/// MD5 of the audio packets as they are stored.
pub fn audio_md5(path: &Path) -> String {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i"]).arg(path);
    run(command.args(["-map", "0:a", "-c", "copy", "-f", "md5", "-"])).0
}

/// Likeness of a source and the left half of a result, in dB; infinite when they are equal.
pub fn left_eye_psnr(source: &Path, result: &Path) -> f64 {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-i"]).arg(source).arg("-i").arg(result);
    command.args(["-lavfi", "[1:v]crop=iw/2:ih:0:0[left];[0:v][left]psnr", "-f", "null", "-"]);
    let (_, said) = run(&mut command);
    let (_, rest) = said.rsplit_once("average:").unwrap_or_else(|| panic!("no psnr: {said}"));
    rest.split_whitespace().next().unwrap().parse().unwrap()
}
