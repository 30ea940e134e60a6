//! Sound that an edit list plays in pieces: to the sample, in either container.

use std::path::{Path, PathBuf};
use std::process::Command;

use parallax_media::{Assembled, Container};

use crate::assembling::{results, run};
use crate::clips::{Bench, samples};
use crate::streams::decided;

/// Two seconds whose every moment sounds like no other.
const SWEEP: &str = "aevalsrc=0.5*sin(2*PI*(300+700*t)*t):s=44100:d=2";
const PICTURES: &str = "testsrc2=size=64x48:rate=25,trim=end_frame=50";
const ENCODE: &str = "-c:v libx264 -bf 0 -g 12 -preset ultrafast -pix_fmt yuv420p -use_editlist 0";

/// Milliseconds of the film, and where they are in the track in milliseconds.
type Edits = [(u32, Option<u32>)];

fn boxed(kind: &[u8], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes(), kind, body].concat()
}

fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let size = u32::from_be_bytes(bytes.get(..4)?.try_into().unwrap()) as usize;
        let (this, rest) = bytes.split_at(size);
        bytes = rest;
        Some((&this[4..8], &this[8..]))
    })
}

/// Gives each track of the film at `path`, whose index comes last and has units of a millisecond, a
/// list of edits; `units` are those of the tracks.
fn edit(path: &Path, tracks: [(&Edits, u32); 2]) {
    let bytes = std::fs::read(path).unwrap();
    let mut tracks = tracks.into_iter();
    let mut out = Vec::new();
    for (kind, body) in boxes(&bytes) {
        if kind != b"moov" {
            out.extend(boxed(kind, body));
            continue;
        }
        let mut moov = Vec::new();
        for (kind, body) in boxes(body) {
            let Some((edits, units)) = (kind == b"trak").then(|| tracks.next()).flatten() else {
                moov.extend(boxed(kind, body));
                continue;
            };
            let mut list = [0, edits.len() as u32].map(u32::to_be_bytes).concat();
            for (length, at) in edits {
                let time = at.map_or(u32::MAX, |at| at * (units / 100) / 10);
                list.extend([*length, time, 0x1_0000].map(u32::to_be_bytes).concat());
            }
            let others = boxes(body).filter(|(kind, _)| kind != b"edts");
            let others: Vec<u8> = others.flat_map(|(kind, body)| boxed(kind, body)).collect();
            let list = boxed(b"edts", &boxed(b"elst", &list));
            moov.extend(boxed(b"trak", &[others, list].concat()));
        }
        out.extend(boxed(b"moov", &moov));
    }
    std::fs::write(path, out).unwrap();
}

/// A film whose pictures are played from the beginning, and whose sound by `edits`.
fn film(bench: &Bench, name: &str, codec: &str, edits: &Edits) -> PathBuf {
    let options = format!("{ENCODE} -c:a {codec} -metadata:s:a:0 language=fra");
    let source = bench.make(name, &[PICTURES, SWEEP], &options);
    edit(&source, [(&[(2000, Some(0))], 12_800), (edits, 44_100)]);
    source
}

fn decoded(path: &Path, options: &[&str]) -> Vec<f64> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error"]).args(options).arg("-i").arg(path);
    let out = command.args(["-map", "0:a", "-f", "f64le", "-"]).output().unwrap().stdout;
    out.chunks_exact(8).map(|eight| f64::from_le_bytes(eight.try_into().unwrap())).collect()
}

/// What the edits play of the track, computed.
fn played(source: &Path, edits: &Edits) -> Vec<f64> {
    let track = decoded(source, &["-ignore_editlist", "1"]);
    let piece = |&(length, at): &(u32, Option<u32>)| {
        let samples = |ms: u32| ms as usize * 441 / 10;
        match at {
            Some(at) => track[samples(at)..samples(at + length)].to_vec(),
            None => vec![0.0; samples(length)],
        }
    };
    edits.iter().flat_map(piece).collect()
}

/// How far above the difference a sound is, in dB.
fn clearness(found: &[f64], expected: &[f64]) -> f64 {
    let power = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let noise = power(&mut found.iter().zip(expected).map(|(found, expected)| found - expected));
    10.0 * (power(&mut expected.iter().copied()) / noise.max(1e-12)).log10()
}

const FORWARD: &Edits = &[(400, Some(0)), (800, Some(1200))];
const BACKWARD: &Edits = &[(800, Some(1200)), (400, Some(0))];
const AGAIN: &Edits = &[(400, Some(400)), (400, Some(400))];
const SILENT: &Edits = &[(100, None), (300, Some(500)), (200, None), (350, Some(1000))];

/// Decides and joins `source`, whose pictures became `parts`.
fn made(bench: &Bench, source: &Path, parts: &[PathBuf], name: &str) -> (PathBuf, Assembled) {
    let container = if name.ends_with("mkv") { Container::Matroska } else { Container::Mp4 };
    let plan = decided(bench, source, Some(container));
    let out = bench.path(name);
    let report = run(bench, parts, source, &out).unwrap();
    assert_eq!(plan.kept, report.kept, "what is done is what was decided");
    assert_eq!(report.kept.len(), 1, "{name}: {:?}", report.dropped);
    (out, report)
}

#[test]
fn edited_sound_without_loss_is_played_to_the_sample() {
    let bench = Bench::new();
    let parts = results(&bench, &film(&bench, "pictures.mov", "pcm_s16le", FORWARD));
    for edits in [BACKWARD, SILENT] {
        let source = film(&bench, "a.mov", "pcm_s16le", edits);
        let expected = played(&source, edits);
        for (name, encoder) in [("final.mp4", "alac"), ("final.mkv", "pcm_s16le")] {
            let (out, report) = made(&bench, &source, &parts, name);
            let kept = &report.kept[0];
            assert!((kept.converted_to, kept.cut) == (Some(encoder), true), "{kept:?}");
            assert!(decoded(&out, &[]) == expected, "{name}, {edits:?}");
            assert_eq!(bench.probe(&out).streams[1].language.as_deref(), Some("fra"));
        }
    }
}

#[test]
fn edited_sound_of_aac_begins_and_ends_with_its_edits() {
    let bench = Bench::new();
    let parts = results(&bench, &film(&bench, "pictures.mp4", "aac", FORWARD));
    for edits in [FORWARD, BACKWARD, AGAIN] {
        let source = film(&bench, "a.mp4", "aac", edits);
        let expected = played(&source, edits);
        for (name, encoder, least) in [("final.mp4", "aac", 30.0), ("final.mkv", "flac", 60.0)] {
            let (out, report) = made(&bench, &source, &parts, name);
            assert_eq!(report.kept[0].converted_to, Some(encoder));
            let found = decoded(&out, &[]);
            assert_eq!(found.len(), expected.len(), "{name}, {edits:?}");
            let clear = clearness(&found, &expected);
            assert!(clear > least, "{name}, {edits:?}: {clear} dB");
        }
    }
}

#[test]
fn opus_stays_in_step_with_the_pictures_in_matroska() {
    let bench = Bench::new();
    let options = "-c:v libx264 -bf 0 -g 12 -preset ultrafast -pix_fmt yuv420p -c:a libopus";
    let source = bench.make("a.mkv", &[PICTURES, SWEEP], &format!("{options} -ar 48000"));
    let (out, report) = made(&bench, &source, &results(&bench, &source), "final.mkv");
    assert_eq!(report.kept[0].converted_to, None);
    assert_eq!(samples(&out, "0:a"), samples(&source, "0:a"));
    let apart = |path: &Path| {
        let first = |stream: &str| {
            let mut command = Command::new("ffprobe");
            command.args(["-v", "error", "-select_streams", stream, "-show_entries"]);
            command.args(["frame=best_effort_timestamp_time", "-of", "csv=p=0"]).arg(path);
            let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
            text.lines().next().unwrap().trim_end_matches(',').parse::<f64>().unwrap()
        };
        first("a") - first("v")
    };
    let (found, expected) = (apart(&out), apart(&source));
    assert!((found - expected).abs() < 0.0021, "{found} {expected}");
}

#[test]
fn one_edit_of_sound_is_copied_and_its_hidden_beginning_stays_hidden() {
    let bench = Bench::new();
    let edits: &Edits = &[(1200, Some(500))];
    let source = film(&bench, "a.mp4", "aac", edits);
    let parts = results(&bench, &source);
    let (out, report) = made(&bench, &source, &parts, "final.mp4");
    assert_eq!((report.kept[0].converted_to, report.kept[0].cut), (None, false));
    assert_eq!(samples(&out, "0:a"), samples(&source, "0:a"));
    // Matroska has no place for what comes before the film.
    let (out, report) = made(&bench, &source, &parts, "final.mkv");
    assert!(report.kept[0].cut, "{report:?}");
    let (found, expected) = (decoded(&out, &[]), played(&source, edits));
    assert_eq!(found.len(), expected.len());
    assert!(clearness(&found, &expected) > 60.0);
}
