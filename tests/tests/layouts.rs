//! Players recognise every layout: by its size, by marks in the headers and in the stream.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use mp4_atom::{Codec, Equi, Moov, Prhd, ProjKind, ReadUntil, Spatial};

use parallax_tests::{Clip, clip, convert, finish, frame_md5s, probe};
use serde_json::Value;

/// What a layout should say about itself.
struct Want {
    layout: &'static str,
    name: &'static str,
    size: (u32, u32),
    /// The number in `st3d`, if the layout has one, and ffprobe's word for it, if it has one.
    st3d: (Option<u8>, Option<&'static str>),
    /// Matroska's StereoMode, and ffprobe's word for it.
    matroska: (Option<u64>, Option<&'static str>),
    /// Whether the stream itself declares its packing.
    packed: bool,
}

type Mark<N> = (Option<N>, Option<&'static str>);

const SIDE: Mark<u8> = (Some(2), Some("side by side"));
const ABOVE: Mark<u8> = (Some(1), Some("top and bottom"));
/// ffprobe does not know it.
const CROSSED: Mark<u8> = (Some(4), None);

const LEFT_RIGHT: Mark<u64> = (Some(1), Some("left_right"));
const TOP_BOTTOM: Mark<u64> = (Some(3), Some("top_bottom"));
const RIGHT_LEFT: Mark<u64> = (Some(11), Some("right_left"));

#[rustfmt::skip]
const WANTS: [Want; 12] = [
    Want { layout: "full-sbs", name: "film_LRF_Full_SBS", size: (256, 72), st3d: SIDE, matroska: LEFT_RIGHT, packed: true },
    Want { layout: "half-sbs", name: "film_LR", size: (128, 72), st3d: SIDE, matroska: LEFT_RIGHT, packed: true },
    Want { layout: "full-tb", name: "film_TBF_fulltb", size: (128, 144), st3d: ABOVE, matroska: TOP_BOTTOM, packed: true },
    Want { layout: "half-tb", name: "film_TB", size: (128, 72), st3d: ABOVE, matroska: TOP_BOTTOM, packed: true },
    Want { layout: "cross-eyed", name: "film_RLF_cross", size: (256, 72), st3d: CROSSED, matroska: RIGHT_LEFT, packed: false },
    Want { layout: "right-only", name: "film_right", size: (128, 72), st3d: (None, None), matroska: (None, None), packed: false },
    Want { layout: "rgbd", name: "film_RGBD", size: (256, 72), st3d: (None, None), matroska: (None, None), packed: false },
    Want { layout: "anaglyph", name: "film_redcyan_color", size: (128, 72), st3d: (None, None), matroska: (None, None), packed: false },
    Want { layout: "anaglyph-half-colour", name: "film_redcyan_half-color", size: (128, 72), st3d: (None, None), matroska: (None, None), packed: false },
    Want { layout: "anaglyph-optimised", name: "film_redcyan_optimised", size: (128, 72), st3d: (None, None), matroska: (None, None), packed: false },
    Want { layout: "anaglyph-dubois", name: "film_redcyan_dubois", size: (128, 72), st3d: (None, None), matroska: (None, None), packed: false },
    Want { layout: "vr180", name: "film_180x180_LR", size: (384, 192), st3d: SIDE, matroska: LEFT_RIGHT, packed: true },
];

fn small(folder: &Path) -> std::path::PathBuf {
    clip(&folder.join("film.mp4"), Clip { frames: 8, ..Clip::default() })
}

/// Side data of the video track, of one kind.
fn side_data<'a>(probed: &'a Value, kind: &str) -> Option<&'a Value> {
    let list = probed["streams"][0]["side_data_list"].as_array()?;
    list.iter().find(|data| data["side_data_type"] == kind)
}

/// Whether the first frame carries a frame packing message.
fn packed(path: &Path) -> bool {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-select_streams", "v:0", "-read_intervals", "%+#1"]);
    command
        .args(["-show_frames", "-show_entries", "frame=side_data_list", "-of", "json"])
        .arg(path);
    let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
    text.contains("Stereo 3D")
}

/// `parallax convert` to a layout; only the depth beside a picture needs an engine that has it.
fn to(source: &Path, layout: &str) -> Command {
    let mut command = convert(source);
    command.args(["--engine", if layout == "rgbd" { "draft" } else { "copy" }]);
    command.args(["--layout", layout]);
    command
}

/// The sample entry's marks as mp4-atom reads them, with the size that the entry gives. It reads the
/// whole header of the file on the way.
fn atoms(path: &Path) -> (Spatial, (u32, u32)) {
    let mut file = std::fs::File::open(path).unwrap();
    let moov = Moov::read_until(&mut file).unwrap();
    let video = moov.trak.iter().find(|trak| trak.mdia.hdlr.handler == b"vide".into()).unwrap();
    match &video.mdia.minf.stbl.stsd.codecs[..] {
        [Codec::Avc1(entry)] => {
            let size = (entry.visual.width.into(), entry.visual.height.into());
            (entry.spatial.as_deref().cloned().unwrap_or_default(), size)
        }
        other => panic!("one H.264 entry, not {other:?}"),
    }
}

/// The video track as mkvmerge identifies it.
fn identified(path: &Path) -> Value {
    let output = Command::new("mkvmerge").arg("-J").arg(path).output();
    let output = output.expect("mkvmerge is needed: tools/setup installs it");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["container"]["supported"], true, "{answer}");
    let tracks = answer["tracks"].as_array().unwrap();
    tracks.iter().find(|track| track["type"] == "video").unwrap()["properties"].clone()
}

fn box_at(bytes: &[u8], kind: &[u8; 4]) -> Option<usize> {
    bytes.windows(4).position(|four| four == kind)
}

#[test]
fn mp4_declares_every_layout_in_its_boxes_and_its_stream() {
    let folder = tempfile::tempdir().unwrap();
    let source = small(folder.path());
    for want in &WANTS {
        let run = finish(&mut to(&source, want.layout));
        assert_eq!(run.code, Some(0), "{}: {run:?}", want.layout);
        let result = folder.path().join(format!("{}.mp4", want.name));
        let probed = probe(&result);
        let video = &probed["streams"][0];
        assert_eq!((&video["width"], &video["height"]), (&want.size.0.into(), &want.size.1.into()));
        assert_eq!(video["nb_read_frames"], "8", "{}", want.layout);
        // The boxes in front of the sound and pictures have grown: all of it must still decode.
        assert_eq!(frame_md5s(&result).len(), 8);
        let declared = side_data(&probed, "Stereo 3D").map(|data| data["type"].as_str().unwrap());
        assert_eq!(declared, want.st3d.1, "{}", want.layout);
        let (marks, size) = atoms(&result);
        assert_eq!(marks.st3d.map(|mark| mark.stereo_mode), want.st3d.0, "{}", want.layout);
        assert_eq!(marks.sv3d.is_some(), want.layout == "vr180", "{}", want.layout);
        assert_eq!(size, want.size, "{}", want.layout);
        let track = identified(&result);
        assert_eq!(track["pixel_dimensions"], format!("{}x{}", size.0, size.1), "{}", want.layout);
        assert_eq!(packed(&result), want.packed, "{}", want.layout);
        let bytes = std::fs::read(&result).unwrap();
        if let (Some(mark), Some(aspect)) = (box_at(&bytes, b"st3d"), box_at(&bytes, b"pasp")) {
            assert!(mark < aspect, "{}: st3d comes before pasp", want.layout);
        }
        let sphere = side_data(&probed, "Spherical Mapping");
        assert_eq!(sphere.is_some(), want.layout == "vr180", "{}", want.layout);
    }
}

#[test]
fn half_a_sphere_is_declared_with_its_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let source = small(folder.path());
    let run = finish(convert(&source).args(["--engine", "copy", "--layout", "vr180"]));
    assert_eq!(run.code, Some(0), "{run:?}");
    let result = folder.path().join("film_180x180_LR.mp4");
    let probed = probe(&result);
    let sphere = side_data(&probed, "Spherical Mapping").unwrap();
    assert_eq!(sphere["projection"], "tiled equirectangular");
    let bound = |name: &str| sphere[name].as_u64().unwrap();
    assert_eq!((bound("bound_top"), bound("bound_bottom")), (0, 0));
    // ffprobe tells pixels, rounded: half of the 384 that it takes for one view.
    assert!(bound("bound_left").abs_diff(192) < 3, "{sphere}");
    assert!(bound("bound_right").abs_diff(192) < 3, "{sphere}");
    // Another parser tells the fractions as they are: a quarter of the sphere on either side.
    let (marks, _) = atoms(&result);
    let sphere = marks.sv3d.unwrap();
    let projection = sphere.proj.unwrap();
    assert_eq!(sphere.svhd.unwrap().metadata_source, "parallax");
    assert_eq!(projection.prhd, Some(Prhd::default()), "facing forward");
    let bounds = Equi {
        projection_bounds_top: 0,
        projection_bounds_bottom: 0,
        projection_bounds_left: 1 << 30,
        projection_bounds_right: 1 << 30,
    };
    assert_eq!(projection.kind, Some(ProjKind::Equi(bounds)));
}

#[test]
fn matroska_declares_every_layout_in_its_track() {
    let folder = tempfile::tempdir().unwrap();
    let source = small(folder.path());
    for want in &WANTS {
        let result = folder.path().join(format!("{}.mkv", want.name));
        let run = finish(to(&source, want.layout).arg("-o").arg(&result));
        assert_eq!(run.code, Some(0), "{}: {run:?}", want.layout);
        let probed = probe(&result);
        let mode = probed["streams"][0]["tags"]["stereo_mode"].as_str();
        assert_eq!(mode, want.matroska.1, "{}", want.layout);
        let track = identified(&result);
        assert_eq!(track["stereo_mode"].as_u64(), want.matroska.0, "{}: {track}", want.layout);
    }
}

#[test]
fn h265_declares_its_packing_too() {
    let folder = tempfile::tempdir().unwrap();
    let source = small(folder.path());
    for (layout, name) in [("full-sbs", "film_LRF_Full_SBS"), ("half-tb", "film_TB")] {
        for extension in ["mp4", "mkv"] {
            let result = folder.path().join(format!("{name}.{extension}"));
            let mut command = convert(&source);
            command.args(["--engine", "copy", "--layout", layout, "--codec", "hevc", "-o"]);
            let run = finish(command.arg(&result));
            assert_eq!(run.code, Some(0), "{run:?}");
            assert!(packed(&result), "{layout} in {extension}");
        }
    }
}

#[test]
fn depth_travels_beside_the_picture_and_needs_an_engine_that_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let source = small(folder.path());
    let run = finish(convert(&source).args(["--engine", "draft", "--layout", "rgbd"]));
    assert_eq!(run.code, Some(0), "{run:?}");
    let result = folder.path().join("film_RGBD.mp4");
    assert_eq!(probe(&result)["streams"][0]["width"], 256);
    let run =
        finish(convert(&source).args(["--engine", "copy", "--layout", "rgbd", "--overwrite"]));
    assert!(run.error().contains("copy makes no depth"), "{run:?}");
}

#[test]
fn the_eyes_that_are_not_drawn_are_the_source() {
    let folder = tempfile::tempdir().unwrap();
    let source = small(folder.path());
    let half = |path: &Path, at: &str| {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-nostdin", "-i"]).arg(&source).arg("-i").arg(path);
        let graph = format!("[1:v]crop=iw/2:ih:{at}:0[eye];[0:v][eye]psnr=stats_file=-");
        command.args(["-lavfi", &graph, "-f", "null", "/dev/null"]);
        let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let values = text.split_whitespace().filter_map(|word| word.strip_prefix("psnr_avg:"));
        let values = values.map(|value| value.parse::<f64>().unwrap());
        values.fold(f64::INFINITY, f64::min)
    };
    for (eyes, left_is_source, right_is_source) in
        [("right", true, false), ("left", false, true), ("both", false, false)]
    {
        let result = folder.path().join(format!("{eyes}.mp4"));
        let mut command = convert(&source);
        command.args(["--engine", "draft", "--eyes", eyes, "--disparity", "5", "-o"]);
        let run = finish(command.arg(&result));
        assert_eq!(run.code, Some(0), "{run:?}");
        let (left, right) = (half(&result, "0"), half(&result, "iw/2"));
        assert_eq!(
            (left > 38.0, right > 38.0),
            (left_is_source, right_is_source),
            "{left} {right}"
        );
    }
}
