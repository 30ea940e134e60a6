//! The final file: every frame at its time, every sound packet untouched.

use std::path::{Path, PathBuf};
use std::time::Duration;

use parallax_media::{
    AssembleOptions, Assembled, EncodeSettings, Encoder, Result, Timing, assemble, plan_segments,
    split,
};

use crate::clips::{Bench, PICTURES, TONE, decoded_times, packet_md5, samples};

/// Splits a source and encodes each segment's frames again: what a backend does.
pub(crate) fn results(bench: &Bench, source: &Path) -> Vec<PathBuf> {
    let media = bench.probe(source);
    let packets = bench.scan(&media);
    let plan = plan_segments(&packets, media.video.time_base, Duration::from_millis(250), 99);
    let folder = bench.path("work");
    std::fs::create_dir_all(&folder).unwrap();
    let split = split(&bench.tools, &media, &packets, &plan, &folder, &bench.cancel).unwrap();
    let encode = |(index, path): (usize, &PathBuf)| {
        let out = folder.join(format!("result-{index}.mp4"));
        let decoder = bench.decoder(path);
        let timing = Timing { time_base: decoder.time_base(), rate: media.video.rate };
        let settings = EncodeSettings { preset: "ultrafast".into(), ..Default::default() };
        let format = decoder.format().clone();
        let mut encoder =
            Encoder::create(&bench.tools, &out, &format, timing, &settings, &bench.cancel).unwrap();
        for frame in decoder {
            encoder.write(&frame.unwrap()).unwrap();
        }
        encoder.finish().unwrap();
        out
    };
    split.segments.iter().map(|segment| &segment.path).enumerate().map(encode).collect()
}

fn joined(bench: &Bench, source: &Path, name: &str) -> (PathBuf, Assembled) {
    let out = bench.path(name);
    let parts = results(bench, source);
    assert!(parts.len() > 1, "one segment proves little");
    let report = run(bench, &parts, source, &out).unwrap();
    (out, report)
}

pub(crate) fn run(
    bench: &Bench,
    parts: &[PathBuf],
    source: &Path,
    out: &Path,
) -> Result<Assembled> {
    assemble(&bench.tools, parts, source, out, AssembleOptions::default(), &bench.cancel)
}

/// Frame times in seconds after the start of the file, as a player sees them.
fn seconds(bench: &Bench, path: &Path) -> Vec<f64> {
    let media = bench.probe(path);
    let start = media.start_us as f64 / 1e6;
    let times = bench.scan(&media).frame_times().unwrap();
    times.iter().map(|&pts| media.video.time_base.seconds(pts) - start).collect()
}

fn assert_close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= tolerance, "frame {index}: {found} {expected}");
    }
}

pub(crate) const ENCODE: &str = "-c:v libx264 -bf 2 -g 6 -sc_threshold 0 -pix_fmt yuv420p";

#[test]
fn sound_is_copied_and_frames_keep_their_times() {
    let bench = Bench::new();
    let options = format!(
        "{ENCODE} -map 0:v -map 1:a -map 1:a -c:a:0 aac -c:a:1 ac3 -metadata title=Song \
         -metadata:s:a:1 language=fra"
    );
    let source = bench.make("a.mp4", &[PICTURES, TONE], &options);
    let (out, report) = joined(&bench, &source, "final.mp4");
    assert_eq!((report.frames, report.kept.len(), report.dropped.len()), (24, 2, 0));
    assert_eq!(report.warnings, Vec::<String>::new());
    for stream in ["0:a:0", "0:a:1"] {
        assert_eq!(packet_md5(&out, stream), packet_md5(&source, stream));
    }
    assert_eq!(decoded_times(&out), decoded_times(&source));
    let languages: Vec<_> = bench.probe(&out).streams.into_iter().map(|s| s.language).collect();
    assert_eq!(languages[2].as_deref(), Some("fra"));
    // The index comes first, so that playback starts before the download ends.
    let bytes = std::fs::read(&out).unwrap();
    let place = |name: &[u8]| bytes.windows(4).position(|four| four == name).unwrap();
    assert!(place(b"moov") < place(b"mdat"));
}

#[test]
fn a_variable_rate_stays_exact() {
    let bench = Bench::new();
    let source = "testsrc2=size=64x48:rate=30,trim=end_frame=40,settb=1/90000,\
                  setpts='N*3000+mod(N*N*791,1700)'";
    let options =
        format!("{ENCODE} -vsync passthrough -enc_time_base 1:90000 -video_track_timescale 90000");
    let source = bench.make("vfr.mp4", &[source], &options);
    let (out, report) = joined(&bench, &source, "final.mp4");
    assert_eq!(decoded_times(&out), decoded_times(&source));
    assert!(report.warnings.is_empty() && report.kept.is_empty());
}

#[test]
fn late_sound_and_late_pictures_stay_late() {
    let bench = Bench::new();
    let both = bench.make("a.mp4", &[PICTURES, TONE], &format!("{ENCODE} -c:a aac"));
    let parts = results(&bench, &both);
    for (name, late, output) in [
        ("sound.mp4", "1:a", "s.mp4"),
        ("pictures.mp4", "1:v", "p.mp4"),
        ("sound.ts", "1:a", "st.mp4"),
        ("pictures.ts", "1:v", "pt.mp4"),
        ("pictures.mkv", "1:v", "pk.mkv"),
    ] {
        let source = bench.path(name);
        let early = if late == "1:a" { "0:v" } else { "0:a" };
        let mut command = std::process::Command::new("ffmpeg");
        command.args(["-v", "error", "-i"]).arg(&both).args(["-itsoffset", "0.3", "-i"]).arg(&both);
        command.args(["-map", early, "-map", late, "-c", "copy"]).arg(&source);
        assert!(command.status().unwrap().success());
        let out = bench.path(output);
        let report = run(&bench, &parts, &source, &out).unwrap();
        assert_eq!(report.kept.len(), 1, "{name}");
        // Containers differ in where they let a file begin; what counts is the distance.
        let distance = |path: &Path| {
            let media = bench.probe(path);
            let pictures = media.video.time_base.seconds(media.video.start.unwrap());
            pictures - audio_start(path)
        };
        let (found, expected) = (distance(&out), distance(&source));
        assert!((found - expected).abs() < 0.0025, "{name}: {found} {expected}");
        let shift = seconds(&bench, &source)[0] - seconds(&bench, &out)[0];
        let shifted: Vec<f64> = seconds(&bench, &out).iter().map(|time| time + shift).collect();
        assert_close(&shifted, &seconds(&bench, &source), 0.0011);
    }
}

fn audio_start(path: &Path) -> f64 {
    let mut command = std::process::Command::new("ffprobe");
    command.args(["-v", "error", "-select_streams", "a:0", "-show_entries", "stream=start_time"]);
    let output = command.args(["-of", "csv=p=0"]).arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().next().unwrap().trim().parse().unwrap()
}

#[test]
fn samples_stay_the_same_in_either_container() {
    let bench = Bench::new();
    let options = format!("{ENCODE} -c:a pcm_s16le");
    let source = bench.make("a.mov", &[PICTURES, TONE], &options);
    let parts = results(&bench, &source);
    let out = bench.path("final.mp4");
    let report = run(&bench, &parts, &source, &out).unwrap();
    assert_eq!(report.kept[0].converted_to, Some("alac"));
    assert_eq!(samples(&out, "0:a"), samples(&source, "0:a"));
    let out = bench.path("final.mkv");
    let report = run(&bench, &parts, &source, &out).unwrap();
    assert_eq!(report.kept[0].converted_to, None);
    assert_eq!(packet_md5(&out, "0:a"), packet_md5(&source, "0:a"));
}

#[test]
fn sound_that_ends_inside_a_packet_makes_no_film_of_a_day() {
    let bench = Bench::new();
    let film = "testsrc2=size=64x48:rate=25,trim=end_frame=12";
    let tone = "sine=frequency=440:sample_rate=44100:duration=0.48";
    let options = "-c:v libtheora -g 1 -q:v 8 -c:a libvorbis";
    let source = bench.make("a.ogv", &[film, tone], options);
    for name in ["out.mkv", "out.mp4"] {
        let (out, report) = joined(&bench, &source, name);
        assert_eq!((report.frames, report.dropped.len()), (12, 0), "{:?}", report.dropped);
        let length = bench.probe(&out).duration_seconds.unwrap();
        assert!((0.4..0.6).contains(&length), "{name}: {length}");
        if name == "out.mkv" {
            assert_eq!(packet_md5(&out, "0:a"), packet_md5(&source, "0:a"));
        }
    }
}

#[test]
fn subtitles_and_chapters_come_along() {
    let bench = Bench::new();
    let clip = bench.clip("a.mp4");
    let (text, marks) = (bench.path("a.srt"), bench.path("marks"));
    std::fs::write(&text, "1\n00:00:00,100 --> 00:00:00,600\nhello\n").unwrap();
    let chapters = ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=One\n";
    std::fs::write(&marks, chapters).unwrap();
    let source = bench.path("source.mkv");
    let mut command = std::process::Command::new("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(&clip).arg("-i").arg(&text).arg("-i").arg(&marks);
    command.args(["-map", "0:v", "-map", "1", "-map_chapters", "2", "-c", "copy"]).arg(&source);
    assert!(command.status().unwrap().success());
    let (out, report) = joined(&bench, &source, "final.mp4");
    assert_eq!(report.kept[0].converted_to, Some("mov_text"));
    let show = ["-v", "error", "-show_chapters", "-of", "csv"];
    let shown = std::process::Command::new("ffprobe").args(show).arg(&out).output().unwrap();
    assert!(String::from_utf8_lossy(&shown.stdout).contains("One"));
    let again = bench.remake("back.srt", &out, "-map 0:s");
    assert!(std::fs::read_to_string(again).unwrap().contains("00:00:00,100 --> 00:00:00,600"));
}

#[test]
fn a_first_chapter_that_mp4_moves_to_the_beginning_is_told() {
    let bench = Bench::new();
    let clip = bench.clip("a.mp4");
    let marks = bench.path("marks");
    let chapters = ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=400\nEND=700\ntitle=One\n\
                    [CHAPTER]\nTIMEBASE=1/1000\nSTART=700\nEND=900\ntitle=Two\n";
    std::fs::write(&marks, chapters).unwrap();
    let source = bench.path("source.mkv");
    let mut command = std::process::Command::new("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(&clip).arg("-i").arg(&marks);
    command.args(["-map", "0:v", "-map_chapters", "1", "-c", "copy"]).arg(&source);
    assert!(command.status().unwrap().success());
    for name in ["final.mp4", "final.mkv"] {
        let (out, report) = joined(&bench, &source, name);
        let first = bench.probe(&out).chapters[0].start_us;
        let told: Vec<_> = report.losses.iter().filter(|l| l.what.contains("\"One\"")).collect();
        // Builds of ffmpeg differ in whether they move it.
        assert_eq!(told.len(), usize::from(first < 300_000), "{name}: {first} {:?}", report.losses);
        assert_eq!(report.losses.len(), told.len(), "{:?}", report.losses);
    }
}

#[test]
fn mpeg_sound_that_is_copied_is_not_called_lost() {
    let bench = Bench::new();
    for codec in ["mp2", "mp3"] {
        let coder = if codec == "mp3" { "libmp3lame" } else { codec };
        let source = bench.make(
            &format!("{codec}.ts"),
            &[PICTURES, TONE],
            &format!("{ENCODE} -c:a {coder}"),
        );
        for name in ["final.mp4", "final.mkv"] {
            let (out, report) = joined(&bench, &source, name);
            assert_eq!(report.losses, [], "{codec} in {name}");
            assert_eq!(packet_md5(&out, "0:a"), packet_md5(&source, "0:a"), "{codec} in {name}");
        }
    }
}

#[test]
fn counts_that_differ_are_told() {
    let bench = Bench::new();
    let source = bench.clip("a.mp4");
    let mut parts = results(&bench, &source);
    parts.pop();
    let out = bench.path("final.mp4");
    let report = run(&bench, &parts, &source, &out).unwrap();
    assert_eq!(report.frames, 18);
    assert!(report.warnings[0].contains("18 frames, the source 24"), "{:?}", report.warnings);
}

#[test]
fn results_that_do_not_go_together_are_refused() {
    let bench = Bench::new();
    let source = bench.clip("a.mp4");
    let mut parts = results(&bench, &source);
    parts[1] = bench.make("wide.mp4", &["testsrc2=size=80x48:duration=1"], ENCODE);
    let out = bench.path("final.mp4");
    let error = run(&bench, &parts, &source, &out).unwrap_err();
    assert!(error.to_string().contains("80x48"), "{error}");
    assert!(!out.exists());
}
