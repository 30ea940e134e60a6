//! What becomes of everything beside the pictures: kept, or named with a reason.

use std::path::{Path, PathBuf};
use std::process::Command;

use parallax_media::{
    Assembled, Codec, Container, EncodeSettings, MuxPlan, Scratch, StreamKind, sample,
};

use crate::assembling::{ENCODE, results, run};
use crate::clips::{Bench, PICTURES, TONE, packet_md5, samples};

/// Decides as before a conversion, then joins the film of `source` into `name`.
fn converted(bench: &Bench, source: &Path, name: &str) -> (MuxPlan, PathBuf, Assembled) {
    let container = match name.rsplit('.').next() {
        Some("mkv") => Container::Matroska,
        _ => Container::Mp4,
    };
    let plan = decided(bench, source, Some(container));
    let out = bench.path(name);
    let report = run(bench, &results(bench, source), source, &out).unwrap();
    assert_eq!(plan.kept, report.kept, "what is done is what was decided");
    assert_eq!(plan.dropped, report.dropped);
    (plan, out, report)
}

pub(crate) fn decided(bench: &Bench, source: &Path, container: Option<Container>) -> MuxPlan {
    let media = bench.probe(source);
    let pictures = bench.path("sample.mp4");
    let settings =
        EncodeSettings { codec: Codec::X264, preset: "ultrafast".into(), ..Default::default() };
    let (format, rate) = (&media.video.format, media.video.rate);
    sample(&bench.tools, format, rate, &settings, &pictures, &bench.cancel).unwrap();
    let folder = bench.path("scratch");
    std::fs::create_dir_all(&folder).unwrap();
    let scratch = Scratch { sample: &pictures, folder: &folder };
    let plan = MuxPlan::decide(&bench.tools, &media, container, scratch, &bench.cancel).unwrap();
    let left = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(left, 0, "nothing is left of trying");
    plan
}

fn ffmpeg(arguments: &[&str], path: &Path) {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y"]).args(arguments).arg(path);
    assert!(command.status().unwrap().success(), "{command:?}");
}

#[test]
fn sound_that_a_container_does_not_hold_keeps_its_samples_where_it_has_any() {
    // Source, options, encoder in Matroska, encoder in MP4, whether MP4 keeps the samples.
    let cases = [
        ("bluray.m2ts", "-c:a pcm_bluray -f mpegts -mpegts_m2ts_mode 1", "pcm_s16le", "alac", true),
        ("dvd.vob", "-c:a pcm_dvd -f vob", "pcm_s16le", "alac", true),
        ("f32.mov", "-c:a pcm_f32be", "pcm_f32le", "alac", false),
        ("f64.mov", "-c:a pcm_f64be", "pcm_f64le", "alac", false),
        ("s8.mov", "-c:a pcm_s8", "pcm_s16le", "alac", true),
        ("adpcm.mov", "-c:a adpcm_ima_qt", "aac", "aac", false),
        ("nelly.flv", "-c:a nellymoser -ar 44100", "aac", "aac", false),
    ];
    for (name, options, in_matroska, in_mp4, same_in_mp4) in cases {
        let bench = Bench::new();
        let source = bench.make(name, &[PICTURES, TONE], &format!("{ENCODE} {options}"));
        let parts = results(&bench, &source);
        for (out, expected, same) in
            [("final.mkv", in_matroska, in_matroska != "aac"), ("final.mp4", in_mp4, same_in_mp4)]
        {
            let out = bench.path(out);
            let report = run(&bench, &parts, &source, &out).unwrap();
            assert_eq!(report.kept[0].converted_to, Some(expected), "{name}");
            if same {
                assert_eq!(samples(&out, "0:a"), samples(&source, "0:a"), "{name}");
            }
        }
    }
}

#[test]
fn a_stream_that_is_announced_and_never_comes_is_left_out() {
    let bench = Bench::new();
    let options = format!("{ENCODE} -map 0 -map 1 -map 1 -c:a aac -f mpegts");
    let whole = bench.make("whole.ts", &[PICTURES, TONE], &options);
    let bytes = std::fs::read(whole).unwrap();
    let of = |packet: &[u8]| u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
    let rest: Vec<u8> =
        bytes.chunks_exact(188).filter(|packet| of(packet) != 0x102).flatten().copied().collect();
    let source = bench.path("dead.ts");
    std::fs::write(&source, rest).unwrap();
    let (plan, out, _) = converted(&bench, &source, "final.mp4");
    assert_eq!((plan.kept.len(), plan.dropped.len()), (1, 1));
    assert!(plan.dropped[0].reason.contains("holds nothing of it"), "{:?}", plan.dropped);
    assert_eq!(bench.probe(&out).streams_of(StreamKind::Audio).count(), 1);
    let chosen = decided(&bench, &source, None);
    assert_eq!(chosen.container, Container::Mp4);
}

#[test]
fn seventy_attachments_are_all_kept() {
    let bench = Bench::new();
    let clip = bench.clip("a.mp4");
    let font = bench.path("font.ttf");
    std::fs::write(&font, [7; 400]).unwrap();
    let source = bench.path("fonts.mkv");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(&clip).args(["-c", "copy"]);
    for index in 0..70 {
        command.arg("-attach").arg(&font);
        command.arg(format!("-metadata:s:t:{index}")).arg(format!("filename=font-{index}.ttf"));
    }
    command.args(["-metadata:s:t", "mimetype=font/ttf"]).arg(&source);
    assert!(command.status().unwrap().success());
    let plan = decided(&bench, &source, None);
    assert_eq!((plan.container, plan.kept.len()), (Container::Matroska, 70));
    let (_, out, report) = converted(&bench, &source, "final.mkv");
    assert!(report.losses.is_empty(), "{:?}", report.losses);
    let found = bench.probe(&out);
    let names: Vec<&str> =
        found.streams_of(StreamKind::Attachment).map(|s| s.tags["filename"].as_str()).collect();
    assert_eq!(names.len(), 70);
    assert!(names.contains(&"font-69.ttf"));
}

#[test]
fn more_streams_than_are_allowed_are_refused_and_not_lost() {
    let mut bench = Bench::new();
    let options = format!("{ENCODE} -map 0 -map 1 -map 1 -map 1 -c:a pcm_s16le");
    let source = bench.make("a.mkv", &[PICTURES, TONE], &options);
    bench.tools.limits.streams = 3;
    let error = parallax_media::probe(&bench.tools, &source, &bench.cancel).unwrap_err();
    assert!(error.to_string().contains("allowed are 3"), "{error}");
}

#[test]
fn sound_that_nothing_decodes_does_not_choose_the_container() {
    let bench = Bench::new();
    let options = format!("{ENCODE} -map 0 -map 1 -map 1 -c:a aac");
    let source = bench.make("a.mov", &[PICTURES, TONE], &options);
    let mut bytes = std::fs::read(&source).unwrap();
    let entries: Vec<usize> = bytes
        .windows(16)
        .enumerate()
        .filter(|(_, window)| window.starts_with(b"mp4a\0\0\0\0\0\0\0\x01"))
        .map(|(at, _)| at)
        .collect();
    let last = *entries.last().unwrap();
    bytes[last..last + 4].copy_from_slice(b"apac");
    // The description of AAC would give it away.
    let esds = bytes.windows(4).rposition(|four| four == b"esds").unwrap();
    bytes[esds..esds + 4].copy_from_slice(b"dapa");
    std::fs::write(&source, bytes).unwrap();
    let plan = decided(&bench, &source, None);
    assert_eq!(plan.container, Container::Mp4);
    assert_eq!((plan.kept.len(), plan.dropped.len()), (1, 1));
    assert!(plan.dropped[0].reason.contains("(apac)"), "{:?}", plan.dropped);
}

#[test]
fn what_a_phone_says_of_its_film_is_kept() {
    let bench = Bench::new();
    let said = [
        ("com.apple.quicktime.location.ISO6709", "+36.1318-115.1517+621.989/"),
        ("com.apple.quicktime.creationdate", "2024-01-08T15:06:17-0800"),
        ("com.apple.quicktime.make", "Apple"),
        ("com.apple.quicktime.model", "iPhone 15 Pro"),
        ("title", "Holiday"),
    ];
    let clip = bench.clip("a.mp4");
    let source = bench.path("phone.mov");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(&clip).args(["-c", "copy"]);
    command.args(["-movflags", "use_metadata_tags"]);
    for (name, value) in said {
        command.arg("-metadata").arg(format!("{name}={value}"));
    }
    assert!(command.arg(&source).status().unwrap().success());
    for name in ["final.mp4", "final.mkv"] {
        let (_, out, report) = converted(&bench, &source, name);
        assert!(report.losses.is_empty(), "{name}: {:?}", report.losses);
        let found = bench.probe(&out).tags;
        for (tag, value) in said {
            let same = |(n, v): (&String, &String)| n.eq_ignore_ascii_case(tag) && v == value;
            assert!(found.iter().any(same), "{name}: {tag} of {found:?}");
        }
    }
}

/// One H.264 picture after another, each with a pair of bytes of CEA-608 in an A/53 message.
fn captioned(stream: &[u8], mut pairs: impl Iterator<Item = [u8; 2]>) -> Vec<u8> {
    let odd = |byte: u8| if byte.count_ones().is_multiple_of(2) { byte | 0x80 } else { byte };
    let starts: Vec<usize> =
        (0..stream.len() - 4).filter(|&at| stream[at..].starts_with(&[0, 0, 1])).collect();
    let mut out = Vec::new();
    for (number, &start) in starts.iter().enumerate() {
        let end = starts.get(number + 1).copied().unwrap_or(stream.len());
        if matches!(stream[start + 3] & 0x1f, 1 | 5) {
            let [one, two] = pairs.next().unwrap_or([0, 0]).map(odd);
            let mut payload = vec![0xb5, 0x00, 0x31];
            payload.extend(b"GA94\x03");
            payload.extend([0xc1, 0xff, 0xfc, one, two, 0xff]);
            out.extend([0, 0, 1, 6, 4, payload.len() as u8]);
            out.extend(payload);
            out.push(0x80);
        }
        out.extend(&stream[start..end]);
    }
    out
}

/// A film at 25 frames per second whose captions say "Hi" from the 9th frame to the 30th.
fn film_with_captions(bench: &Bench) -> PathBuf {
    let pictures = "testsrc2=size=64x48:rate=25,trim=end_frame=50";
    let encode = "-c:v libx264 -bf 0 -g 12 -x264-params slices=1:sliced-threads=0 \
                  -pix_fmt yuv420p -f h264";
    let stream = std::fs::read(bench.make("a.h264", &[pictures], encode)).unwrap();
    let mut pairs = vec![[0, 0]; 50];
    // Resume caption loading, row 15, two letters, end of caption, each command twice.
    let begin = [[0x14, 0x20], [0x14, 0x20], [0x14, 0x60], [0x14, 0x60], *b"Hi"];
    pairs[..5].copy_from_slice(&begin);
    pairs[8..10].copy_from_slice(&[[0x14, 0x2f]; 2]);
    pairs[29..31].copy_from_slice(&[[0x14, 0x2c]; 2]);
    let raw = bench.path("captioned.h264");
    std::fs::write(&raw, captioned(&stream, pairs.into_iter())).unwrap();
    let source = bench.path("captioned.ts");
    let input = raw.to_str().unwrap();
    ffmpeg(&["-f", "h264", "-framerate", "25", "-i", input, "-c", "copy"], &source);
    source
}

#[test]
fn captions_inside_the_pictures_become_subtitles_at_their_times() {
    let bench = Bench::new();
    let source = film_with_captions(&bench);
    assert_eq!(decided(&bench, &source, None).container, Container::Mp4);
    for name in ["final.mp4", "final.mkv"] {
        let (plan, out, report) = converted(&bench, &source, name);
        assert!(plan.captions && report.captions, "{name}");
        let found = bench.probe(&out);
        let track = found.streams_of(StreamKind::Subtitle).next().unwrap();
        assert!(track.dispositions.contains(&"hearing_impaired".to_owned()), "{track:?}");
        let text = std::fs::read_to_string(bench.remake("back.srt", &out, "-map 0:s")).unwrap();
        assert!(text.contains("Hi"), "{name}: {text}");
        // A frame lasts 40 ms; what is shown by the ninth one begins with it.
        assert!(text.contains("00:00:00,320 --> 00:00:01,160"), "{name}: {text}");
    }
}

#[test]
fn pictures_without_captions_get_no_track_of_them() {
    let bench = Bench::new();
    let source = bench.clip("a.mp4");
    let (plan, out, report) = converted(&bench, &source, "final.mp4");
    assert!(!plan.captions && !report.captions);
    assert_eq!(bench.probe(&out).streams.len(), 1);
}

#[test]
fn marks_languages_titles_and_timecode_stay_or_are_named() {
    let bench = Bench::new();
    let words = bench.path("words.srt");
    std::fs::write(&words, "1\n00:00:00,100 --> 00:00:00,900\nHello\n").unwrap();
    let clip = bench.make("av.mkv", &[PICTURES, TONE], &format!("{ENCODE} -map 0 -map 1 -c:a aac"));
    let source = bench.path("marked.mkv");
    let (clip, words) = (clip.to_str().unwrap(), words.to_str().unwrap());
    let copies = ["-i", clip, "-i", words, "-map", "0:v", "-map", "0:a", "-map", "0:a"];
    let marks = [
        "-map",
        "1",
        "-map",
        "1",
        "-c",
        "copy",
        "-metadata:s:v:0",
        "language=jpn",
        "-metadata:s:v:0",
        "title=The picture",
        "-metadata:s:a:0",
        "language=eng",
        "-metadata:s:a:0",
        "title=Main",
        "-metadata:s:a:1",
        "language=deu",
        "-metadata:s:a:1",
        "title=Director",
        "-metadata:s:a:1",
        "REASON=spoken",
        "-metadata",
        "DIRECTOR=Somebody",
        "-metadata:s:v:0",
        "timecode=01:02:03:04",
        "-disposition:v:0",
        "default+original",
        "-disposition:a:0",
        "0",
        "-disposition:a:1",
        "default+comment",
        "-disposition:s:0",
        "forced",
        "-disposition:s:1",
        "hearing_impaired",
    ];
    ffmpeg(&[&copies[..], &marks[..]].concat(), &source);
    let before = bench.probe(&source);
    for name in ["final.mkv", "final.mp4"] {
        let (_, out, report) = converted(&bench, &source, name);
        let after = bench.probe(&out);
        let said = |what: &str| report.losses.iter().any(|loss| loss.what.contains(what));
        for (old, new) in before.streams.iter().zip(&after.streams) {
            let who = format!("{name}, stream {}", old.index);
            for mark in &old.dispositions {
                let told = said(&format!("the mark \"{mark}\""));
                assert!(new.dispositions.contains(mark) != told, "{who}: {mark}, {report:?}");
            }
            let language = |tag: &Option<String>| tag.clone().filter(|tag| tag != "und");
            assert_eq!(language(&old.language), language(&new.language), "{who}");
            let shown = |marks: &[String]| marks.iter().any(|mark| mark == "default");
            if old.kind == StreamKind::Subtitle {
                assert_eq!(shown(&old.dispositions), shown(&new.dispositions), "{who}");
            }
        }
        // ffprobe reads the names of MP4's tracks only in later versions.
        let bytes = std::fs::read(&out).unwrap();
        for title in ["The picture", "Main", "Director"] {
            let there = bytes.windows(title.len()).any(|window| window == title.as_bytes());
            assert!(there, "{name}: {title}");
        }
        let spoken = after.streams[2].tags.iter().any(|(_, value)| value == "spoken");
        assert!(spoken != said("REASON"), "{name}: {report:?}");
        assert!(after.tags.iter().any(|(_, value)| value == "Somebody"), "{name}: {after:?}");
        let timecode =
            |(n, v): (&String, &String)| n.eq_ignore_ascii_case("timecode") && v == "01:02:03:04";
        assert!(after.streams[0].tags.iter().any(timecode), "{name}: {after:?}");
        if name == "final.mkv" {
            assert!(report.losses.is_empty(), "{:?}", report.losses);
        }
    }
}

#[test]
fn a_timecode_track_of_a_camera_goes_along() {
    let bench = Bench::new();
    let options = format!("{ENCODE} -timecode 10:00:00:00");
    let pictures = "testsrc2=size=64x48:rate=25,trim=end_frame=24";
    let source = bench.make("camera.mov", &[pictures], &options);
    assert_eq!(bench.probe(&source).streams_of(StreamKind::Other).count(), 1);
    let (plan, out, report) = converted(&bench, &source, "final.mp4");
    assert!(plan.dropped.is_empty() && report.losses.is_empty(), "{report:?}");
    let found = bench.probe(&out);
    assert!(found.streams_of(StreamKind::Other).any(|s| s.tags["timecode"] == "10:00:00:00"));
}

#[test]
fn transparency_and_second_pictures_are_named() {
    let bench = Bench::new();
    let pictures = "testsrc2=size=64x48:rate=25,trim=end_frame=24,format=yuva420p";
    let options = "-map 0 -map 1 -c:v:0 ffv1 -c:v:1 libx264 -pix_fmt:v:1 yuv420p \
                   -disposition:v:0 default";
    let source = bench.make("two.mkv", &[pictures, PICTURES], options);
    let plan = decided(&bench, &source, None);
    assert_eq!(plan.container, Container::Mp4);
    assert!(plan.losses.iter().any(|loss| loss.what == "transparency"), "{plan:?}");
    assert!(plan.dropped[0].reason.contains("second video stream"), "{plan:?}");
}

#[test]
fn a_recording_that_goes_on_in_other_streams_says_so() {
    let bench = Bench::new();
    let part = |name: &str, more: &str| {
        let options = format!("{ENCODE} -c:a aac {more}");
        std::fs::read(bench.make(name, &[PICTURES, TONE], &options)).unwrap()
    };
    let next = part("b.ts", "-mpegts_start_pid 0x200 -output_ts_offset 1");
    let source = bench.path("film.ts");
    std::fs::write(&source, [part("a.ts", ""), next].concat()).unwrap();
    let plan = decided(&bench, &source, None);
    let reason = &plan.dropped[0].reason;
    assert!(reason.contains("goes on") && reason.contains("-map 0:2"), "{plan:?}");
}

#[test]
fn one_refused_stream_among_many_takes_no_other_along() {
    let bench = Bench::new();
    let options =
        format!("{ENCODE} -map 0 -map 1 -map 1 -map 1 -map 1 -map 1 -c:a aac -c:a:2 adpcm_ima_qt");
    let source = bench.make("a.mov", &[PICTURES, TONE], &options);
    let (plan, out, _) = converted(&bench, &source, "final.mkv");
    let encoders: Vec<_> = plan.kept.iter().map(|kept| kept.converted_to).collect();
    assert_eq!(encoders, [None, None, Some("aac"), None, None]);
    assert_eq!(packet_md5(&out, "0:a:4"), packet_md5(&source, "0:a:4"));
}
