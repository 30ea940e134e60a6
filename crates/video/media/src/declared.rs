//! What a file's pictures say of themselves: reads back what an encoder wrote.
//!
//! ffmpeg's filter `showinfo` is asked, because ffprobe names the arrangement of a frame packing
//! message only for some codecs and in some versions.

use std::path::Path;
use std::sync::mpsc::channel;

use tokio_util::sync::CancellationToken;

use crate::child::Child;
use crate::error::{Kind, Result, show_path};
use crate::probe::probe;
use crate::programs::{Tools, file_url};
use crate::stereo_mode::{Declaration, StereoMode};

/// How the views share the pictures of the file at `path`, by the first frame's frame packing
/// message. Spheres are not looked for.
///
/// # Errors
/// As [`probe`].
pub fn declared(tools: &Tools, path: &Path, cancel: &CancellationToken) -> Result<Declaration> {
    let media = probe(tools, path, cancel)?;
    let mut command = tools.ffmpeg();
    tools.guard(&mut command);
    command.args(["-loglevel", "level+info", "-i"]).arg(file_url(path));
    command.args(["-map", &format!("0:{}", media.video.index), "-frames:v", "1"]);
    command.args(["-vf", "showinfo", "-f", "null", "/dev/null"]);
    let (found, all) = channel();
    let limit = Some(tools.limits.probe_time);
    let mut child = Child::spawn(&mut command, cancel, limit, move |line| {
        // Whoever asked may have given up; then nobody is to be told.
        stereo(line).is_some_and(|mode| found.send(mode).is_ok())
    })?;
    (child.stdin, child.stdout) = (None, None);
    let doing = format!("{}: read its first frame", show_path(path));
    child.wait()?.check(&doing, Kind::Input)?;
    Ok(Declaration { stereo: all.try_iter().next(), half_sphere: false })
}

/// What a line of `showinfo` says of two views; the words before differ between versions.
fn stereo(line: &str) -> Option<StereoMode> {
    let said = line.split_once("side data - ")?.1;
    let packing = said.strip_prefix("stereoscopic information: ");
    let packing = packing.or(said.strip_prefix("Stereo 3D: "))?.strip_prefix("type - ")?;
    let inverted = packing.contains("inverted");
    match (packing.split([',', '(']).next()?.trim(), inverted) {
        ("side by side", false) => Some(StereoMode::SideBySide),
        ("side by side", true) => Some(StereoMode::SideBySideRightFirst),
        ("top and bottom", false) => Some(StereoMode::TopBottom),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packing_is_read_as_far_as_it_is_understood() {
        let line = |said: &str| {
            stereo(&format!("[Parsed_showinfo_0 @ 0x55ff] [info]   side data - {said}"))
        };
        let old = |packing: &str| line(&format!("stereoscopic information: type - {packing}"));
        assert_eq!(old("side by side"), Some(StereoMode::SideBySide));
        assert_eq!(old("side by side (inverted)"), Some(StereoMode::SideBySideRightFirst));
        assert_eq!(old("top and bottom"), Some(StereoMode::TopBottom));
        assert_eq!(old("top and bottom (inverted)"), None, "there is no word for it");
        assert_eq!(old("checkerboard"), None);
        let new = "Stereo 3D: type - side by side, view - packed, primary eye - none";
        assert_eq!(line(new), Some(StereoMode::SideBySide));
        assert_eq!(line("User Data Unregistered:"), None);
        assert_eq!(stereo("frame= 1"), None);
    }
}
