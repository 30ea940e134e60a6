//! Every kind of source converts with its frames, times, streams and colours.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use parallax_tests::{convert, finish, probe};
use serde_json::Value;

/// One kind of source.
#[derive(Debug, Clone, Copy)]
struct Case {
    name: &'static str,
    /// The picture, as an ffmpeg filter source.
    picture: &'static str,
    /// Options of the encoder, split at spaces.
    encode: &'static str,
    /// The source's name, and the result's extension.
    files: (&'static str, &'static str),
    /// Options of convert.
    options: &'static [&'static str],
    frames: usize,
    /// Size of the full side-by-side result.
    size: (u32, u32),
}

const X264: &str = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 6 -colorspace bt709 \
    -color_primaries bt709 -color_trc bt709 -color_range tv";

const USUAL: Case = Case {
    name: "usual",
    picture: "testsrc2=s=128x72:r=25,trim=end_frame=12",
    encode: X264,
    files: ("film.mp4", "mp4"),
    options: &[],
    frames: 12,
    size: (256, 72),
};

const HDR10: &str = "-c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -tag:v hvc1 -g 6 \
    -colorspace bt2020nc -color_primaries bt2020 -color_trc smpte2084 -color_range tv \
    -x265-params log-level=error:hdr10=1:repeat-headers=1:max-cll=1000,400:master-display=\
G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)";

const HLG: &str = "-c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -tag:v hvc1 \
    -colorspace bt2020nc -color_primaries bt2020 -color_trc arib-std-b67 -color_range tv \
    -x265-params log-level=error";

const CASES: [Case; 14] = [
    Case {
        name: "screen recording with a variable rate",
        picture: "testsrc2=s=128x72:r=60,trim=end_frame=60,select='lt(mod(n*n,7),3)'",
        encode: "-vsync vfr -c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 6 -colorspace bt709 \
                 -color_primaries bt709 -color_trc iec61966-2-1 -color_range tv",
        frames: 43,
        ..USUAL
    },
    Case {
        name: "24000/1001",
        picture: "testsrc2=s=128x72:r=24000/1001,trim=end_frame=30",
        frames: 30,
        ..USUAL
    },
    Case {
        name: "60 frames per second",
        picture: "testsrc2=s=128x72:r=60,trim=end_frame=30",
        frames: 30,
        ..USUAL
    },
    Case {
        name: "full range",
        encode: "-c:v libx264 -preset ultrafast -pix_fmt yuvj420p -color_range pc \
                 -colorspace smpte170m -color_primaries smpte170m -color_trc smpte170m",
        ..USUAL
    },
    Case {
        name: "10-bit HEVC",
        encode: "-c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -tag:v hvc1 -colorspace bt709 \
                 -color_primaries bt709 -color_trc bt709 -color_range tv -x265-params \
                 log-level=error",
        ..USUAL
    },
    Case { name: "HDR10", encode: HDR10, ..USUAL },
    Case { name: "HLG", encode: HLG, ..USUAL },
    Case {
        name: "odd width and height",
        picture: "testsrc=s=127x71:r=25,trim=end_frame=6",
        encode: "-c:v ffv1 -pix_fmt yuv420p -colorspace smpte170m -color_primaries smpte170m \
                 -color_trc smpte170m -color_range tv",
        files: ("film.mkv", "mp4"),
        frames: 6,
        ..USUAL
    },
    Case {
        name: "one frame",
        picture: "testsrc2=s=128x72:r=25,trim=end_frame=1",
        frames: 1,
        ..USUAL
    },
    Case {
        name: "two frames",
        picture: "testsrc2=s=128x72:r=25,trim=end_frame=2",
        frames: 2,
        ..USUAL
    },
    Case {
        name: "interlaced",
        picture: "testsrc2=s=128x72:r=50,trim=end_frame=24,tinterlace=interleave_top,setfield=tff",
        encode: "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 6 -flags +ildct+ilme -top 1 \
                 -colorspace bt470bg -color_primaries bt470bg -color_trc smpte170m -color_range tv",
        options: &["--interlaced", "deinterlace"],
        ..USUAL
    },
    Case {
        name: "4:4:4",
        encode: "-c:v libx264 -preset ultrafast -pix_fmt yuv444p -colorspace bt709 \
                 -color_primaries bt709 -color_trc bt709 -color_range tv",
        ..USUAL
    },
    Case {
        name: "4K",
        picture: "testsrc2=s=3840x2160:r=25,trim=end_frame=2",
        frames: 2,
        size: (7680, 2160),
        ..USUAL
    },
    Case {
        name: "black bars",
        picture: "testsrc2=s=128x48:r=25,trim=end_frame=12,pad=128:72:0:12",
        options: &["--crop-bars"],
        size: (256, 48),
        ..USUAL
    },
];

fn ffmpeg(arguments: &str, path: &Path) -> PathBuf {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y"]).args(arguments.split_whitespace()).arg(path);
    assert!(command.status().unwrap().success(), "{command:?}");
    path.to_owned()
}

/// Presentation times of the first video stream, in microseconds.
fn times(path: &Path) -> Vec<i64> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-select_streams", "v:0", "-show_entries", "frame=pts_time"]);
    let output = command.args(["-of", "csv=p=0"]).arg(path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let time = |line: &str| (line.trim_end_matches(',').parse::<f64>().unwrap() * 1e6) as i64;
    text.split_whitespace().map(time).collect()
}

/// Side data of the first frame: HDR metadata and frame packing.
fn first_frame(path: &Path) -> Vec<Value> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-select_streams", "v:0", "-read_intervals", "%+#1"]);
    command
        .args(["-show_frames", "-show_entries", "frame=side_data_list", "-of", "json"])
        .arg(path);
    let answer: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    answer["frames"][0]["side_data_list"].as_array().cloned().unwrap_or_default()
}

fn streams<'a>(probed: &'a Value, kind: &str) -> Vec<&'a Value> {
    let all = probed["streams"].as_array().unwrap();
    all.iter().filter(|stream| stream["codec_type"] == kind).collect()
}

/// What every conversion promises.
fn check_pictures(case: &Case, source: &Path, result: &Path) {
    let (before, after) = (probe(source), probe(result));
    let (old, new) = (streams(&before, "video")[0], streams(&after, "video")[0]);
    let size = (new["width"].as_u64().unwrap(), new["height"].as_u64().unwrap());
    assert_eq!(size, (case.size.0.into(), case.size.1.into()), "{}", case.name);
    for tag in ["color_range", "color_space", "color_primaries", "color_transfer"] {
        assert!(old[tag].is_string(), "{}: the source has no {tag}", case.name);
        assert_eq!(old[tag], new[tag], "{}: {tag}", case.name);
    }
    let sampling = |stream: &Value| stream["pix_fmt"].as_str().unwrap().contains("444");
    assert_eq!(sampling(old), sampling(new), "{}: chroma", case.name);
    let depth = |stream: &Value| stream["pix_fmt"].as_str().unwrap().contains("10le");
    assert_eq!(depth(old), depth(new), "{}: bits per sample", case.name);
    assert_eq!(streams(&before, "audio").len(), streams(&after, "audio").len(), "{}", case.name);
    let (old, new) = (times(source), times(result));
    assert_eq!((old.len(), new.len()), (case.frames, case.frames), "{}: frames", case.name);
    for (n, (old, new)) in old.iter().zip(&new).enumerate() {
        assert!((old - new).abs() <= 1000, "{}: frame {n} at {old} and {new} us", case.name);
    }
}

#[test]
fn every_kind_of_source_keeps_frames_times_and_colours() {
    for case in &CASES {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join(case.files.0);
        ffmpeg(&format!("-f lavfi -i {} {}", case.picture, case.encode), &source);
        let result = folder.path().join(format!("out.{}", case.files.1));
        let run = finish(
            convert(&source).args(["--engine", "copy", "-o"]).arg(&result).args(case.options),
        );
        assert_eq!(run.code, Some(0), "{}: {run:?}", case.name);
        check_pictures(case, &source, &result);
        if case.name == "HDR10" {
            let hdr = |path: &Path| -> Vec<Value> {
                let mut all = first_frame(path);
                let kinds = ["Mastering display metadata", "Content light level metadata"];
                all.retain(|data| kinds.iter().any(|kind| data["side_data_type"] == *kind));
                all
            };
            assert_eq!(hdr(&source).len(), 2);
            assert_eq!(hdr(&source), hdr(&result));
        }
    }
}

#[test]
fn a_turned_portrait_comes_out_upright() {
    let folder = tempfile::tempdir().unwrap();
    let flat = folder.path().join("flat.mp4");
    ffmpeg(&format!("-f lavfi -i {} {X264}", USUAL.picture), &flat);
    let source = folder.path().join("film.mp4");
    let copy = format!("-i {} -c copy -metadata:s:v:0 rotate=90", flat.display());
    ffmpeg(&copy, &source);
    let rotation = &probe(&source)["streams"][0]["side_data_list"][0]["rotation"];
    assert_eq!(rotation.as_i64().map(i64::abs), Some(90), "ffmpeg wrote the rotation");
    let result = folder.path().join("out.mp4");
    let run = finish(convert(&source).args(["--engine", "copy", "-o"]).arg(&result));
    assert_eq!(run.code, Some(0), "{run:?}");
    check_pictures(&Case { size: (144, 128), ..USUAL }, &source, &result);
    assert!(!probe(&result)["streams"][0].to_string().contains("rotation"));
}

/// A film with two sounds, a subtitle, chapters and a title; `more` are further options.
fn film_with_everything(folder: &Path, name: &str, subtitle: &str, more: &str) -> PathBuf {
    let words = folder.join("words.srt");
    std::fs::write(&words, "1\n00:00:00,100 --> 00:00:00,900\nHello\n").unwrap();
    let meta = folder.join("meta.txt");
    let chapters = "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\ntitle=One\n\
                    [CHAPTER]\nTIMEBASE=1/1000\nSTART=400\nEND=960\ntitle=Two\n";
    std::fs::write(&meta, format!(";FFMETADATA1\ntitle=The film\n{chapters}")).unwrap();
    let arguments = format!(
        "-f lavfi -i testsrc2=s=128x72:r=25,trim=end_frame=24 -f lavfi -i sine=f=440:d=0.96 \
         -f lavfi -i sine=f=880:d=0.96 -i {} -f ffmetadata -i {} -map 0 -map 1 -map 2 -map 3 \
         -map_metadata 4 -map_chapters 4 {X264} -c:a aac -b:a 64k -c:s {subtitle} \
         -metadata:s:a:0 language=eng -metadata:s:a:1 language=deu {more}",
        words.display(),
        meta.display()
    );
    ffmpeg(&arguments, &folder.join(name))
}

fn sounds(path: &Path) -> Vec<String> {
    let md5 = |nth: usize| {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-nostdin", "-i"]).arg(path);
        command.args(["-map", &format!("0:a:{nth}"), "-c", "copy", "-f", "md5", "-"]);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    (0..streams(&probe(path), "audio").len()).map(md5).collect()
}

/// Starts, in milliseconds, and titles.
fn chapters(path: &Path) -> Vec<(i64, String)> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-show_entries", "chapter=start_time:chapter_tags=title"]);
    let output = command.args(["-of", "csv=p=0"]).arg(path).output().unwrap();
    let chapter = |line: &str| {
        let (start, title) = line.split_once(',').unwrap();
        ((start.parse::<f64>().unwrap() * 1e3).round() as i64, title.to_owned())
    };
    String::from_utf8(output.stdout).unwrap().lines().map(chapter).collect()
}

#[test]
fn sounds_subtitles_chapters_and_tags_stay_in_either_container() {
    let folder = tempfile::tempdir().unwrap();
    let font = folder.path().join("face.ttf");
    std::fs::write(&font, [0, 1, 0, 0, 7]).unwrap();
    let attach =
        format!("-attach {} -metadata:s:t:0 mimetype=application/x-truetype-font", font.display());
    for (name, subtitle, more, result) in [
        ("film.mp4", "mov_text", "", "film_LRF_Full_SBS.mp4"),
        // MP4 holds no attachment, so the result is Matroska, and says why.
        ("film.mkv", "srt", attach.as_str(), "film_LRF_Full_SBS.mkv"),
    ] {
        let source = film_with_everything(folder.path(), name, subtitle, more);
        let run = finish(convert(&source).args(["--engine", "copy"]));
        assert_eq!(run.code, Some(0), "{run:?}");
        assert_eq!(run.stderr.contains("the result is Matroska: "), !more.is_empty(), "{run:?}");
        let result = folder.path().join(result);
        check_pictures(&Case { frames: 24, ..USUAL }, &source, &result);
        let (before, after) = (probe(&source), probe(&result));
        for kind in ["audio", "subtitle", "attachment"] {
            let (old, new) = (streams(&before, kind), streams(&after, kind));
            assert_eq!(old.len(), new.len(), "{name}: {kind}");
            for (old, new) in old.iter().zip(new) {
                assert_eq!(old["tags"]["language"], new["tags"]["language"], "{name}: {kind}");
            }
        }
        assert_eq!(sounds(&source).len(), 2);
        assert_eq!(sounds(&source), sounds(&result), "{name}");
        assert_eq!(chapters(&source).len(), 2);
        assert_eq!(chapters(&source), chapters(&result), "{name}");
        assert_eq!(after["format"]["tags"]["title"], "The film");
    }
}

#[test]
fn a_stream_that_mp4_does_not_hold_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let font = folder.path().join("face.ttf");
    std::fs::write(&font, [0, 1, 0, 0, 7]).unwrap();
    let attach =
        format!("-attach {} -metadata:s:t:0 mimetype=application/x-truetype-font", font.display());
    let source = film_with_everything(folder.path(), "film.mkv", "srt", &attach);
    let out = folder.path().join("out.mp4");
    let run = finish(convert(&source).args(["--engine", "copy", "-o"]).arg(&out));
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("is left out: MP4 does not hold attachments"), "{run:?}");
    assert!(run.stderr.contains("is converted from subrip to mov_text"), "{run:?}");
}

#[test]
fn what_becomes_of_streams_is_told_before_the_first_frame() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("disc.m2ts");
    let arguments = format!(
        "-f lavfi -i {} -f lavfi -i sine=f=440:d=0.48 {X264} -c:a pcm_bluray -f mpegts \
         -mpegts_m2ts_mode 1",
        USUAL.picture
    );
    ffmpeg(&arguments, &source);
    let run = finish(convert(&source).args(["--engine", "copy", "--json"]));
    assert_eq!(run.code, Some(0), "{run:?}");
    let events: Vec<Value> =
        run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let place = |kind: &str| events.iter().position(|event| event["event"] == kind);
    let converted = place("converted").unwrap();
    assert_eq!(events[converted]["to"], "pcm_s16le");
    assert!(converted < place("started").unwrap(), "{events:?}");
    let told = events.iter().filter(|event| event["event"] == "converted").count();
    assert_eq!(told, 1, "what was decided is done, and not told twice");
    let result = folder.path().join("disc_LRF_Full_SBS.mkv");
    assert_eq!(streams(&probe(&result), "audio")[0]["codec_name"], "pcm_s16le");
}

#[test]
fn sound_that_cannot_be_copied_is_converted_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let film = |name: &str, codec: &str| {
        let arguments = format!(
            "-f lavfi -i {} -f lavfi -i sine=f=440:d=0.96 {X264} -c:a {codec} -f mpegts",
            USUAL.picture
        );
        std::fs::read(ffmpeg(&arguments, &folder.path().join(name))).unwrap()
    };
    // The sound becomes another one under the same number.
    let source = folder.path().join("film.ts");
    std::fs::write(&source, [film("a.ts", "aac"), film("b.ts", "mp2")].concat()).unwrap();
    let run = finish(convert(&source).args(["--engine", "copy", "--json"]));
    assert_eq!(run.code, Some(0), "{run:?}");
    let events = run.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let converted: Vec<Value> = events.filter(|e| e["event"] == "converted").collect();
    assert_eq!(converted.len(), 1, "{converted:?}");
    let event = &converted[0];
    assert_eq!((&event["codec"], &event["to"]), (&"aac".into(), &"aac".into()), "{event}");
    assert!(event["reason"].as_str().is_some_and(|why| !why.is_empty()), "{event}");
}

#[test]
fn interlaced_and_hdr_sources_say_what_to_pass() {
    let folder = tempfile::tempdir().unwrap();
    let fields = CASES.iter().find(|case| case.name == "interlaced").unwrap();
    let hdr = CASES.iter().find(|case| case.name == "HDR10").unwrap();
    for (case, options, says) in [
        (fields, &["--engine", "copy"][..], "--interlaced deinterlace"),
        (hdr, &["--engine", "copy", "--codec", "h264"], "--codec hevc"),
    ] {
        let source = folder.path().join("film.mp4");
        ffmpeg(&format!("-f lavfi -i {} {}", case.picture, case.encode), &source);
        let run = finish(convert(&source).args(options));
        assert!(run.error().contains(says), "{run:?}");
        assert_eq!(folder.path().read_dir().unwrap().count(), 1, "nothing is left over");
    }
}

/// The message that carries HDR10+ (ITU-T T.35, SMPTE ST 2094-40) for one window and no curve, as a
/// unit of an H.265 stream.
fn hdr10_plus_unit() -> Vec<u8> {
    let mut bits = String::new();
    let mut push = |value: u32, count: usize| bits.push_str(&format!("{value:0count$b}"));
    push(1, 2);
    push(4_000_000, 27);
    push(0, 1);
    for brightness in [50_000, 45_000, 40_000, 20_000] {
        push(brightness, 17);
    }
    push(0, 4);
    push(10, 10);
    push(0, 8);
    let mut payload = vec![0xB5, 0x00, 0x3C, 0x00, 0x01, 4, 1];
    payload.extend(bits.as_bytes().chunks(8).map(|byte| {
        let text = format!("{:0<8}", std::str::from_utf8(byte).unwrap());
        u8::from_str_radix(&text, 2).unwrap()
    }));
    let mut unit = vec![39 << 1, 1, 4, payload.len() as u8];
    unit.extend(payload);
    unit.push(0x80);
    // No three bytes that look like the start of a unit.
    let mut out = vec![0, 0, 0, 1];
    let mut zeros = 0;
    for byte in unit {
        if zeros == 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

/// An HDR10 film whose first picture also has HDR10+.
fn hdr10_plus(folder: &Path) -> PathBuf {
    let stream = folder.join("film.hevc");
    ffmpeg(&format!("-f lavfi -i {} {HDR10}:bframes=0", USUAL.picture), &stream);
    let mut bytes = std::fs::read(&stream).unwrap();
    let picture = (0..bytes.len() - 4)
        .find(|&at| bytes[at..].starts_with(&[0, 0, 1]) && bytes[at + 3] >> 1 & 63 < 32)
        .unwrap();
    bytes.splice(picture..picture, hdr10_plus_unit());
    std::fs::write(&stream, bytes).unwrap();
    let film = folder.join("plus.mp4");
    ffmpeg(&format!("-r 25 -i {} -c copy -tag:v hvc1", stream.display()), &film);
    assert!(first_frame(&film).iter().any(|data| data.to_string().contains("2094-40")));
    film
}

/// An HDR10 film that says that it has Dolby Vision of `profile` on a base layer of `compatibility`.
fn dolby_vision(folder: &Path, profile: u8, compatibility: u8) -> PathBuf {
    let film = folder.join(format!("vision-{profile}.mp4"));
    ffmpeg(&format!("-f lavfi -i {} {HDR10}", USUAL.picture), &film);
    let mut bytes = std::fs::read(&film).unwrap();
    let mut record = b"\0\0\0\x20dvcC\x01\0".to_vec();
    // Profile, level 1, metadata and base layer present.
    record.extend([profile << 1, 0b0000_1101, compatibility << 4]);
    record.resize(32, 0);
    // The header is at the file's end, so nothing but the boxes around it moves.
    let mut at = 0;
    let mut end = 0;
    for kind in [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"hvc1"] {
        at += bytes[at..].windows(4).position(|four| four == kind).unwrap();
        let size: [u8; 4] = bytes[at - 4..at].try_into().unwrap();
        end = at - 4 + u32::from_be_bytes(size) as usize;
        bytes[at - 4..at].copy_from_slice(&(u32::from_be_bytes(size) + 32).to_be_bytes());
    }
    bytes.splice(end..end, record);
    std::fs::write(&film, bytes).unwrap();
    assert!(probe(&film).to_string().contains("DOVI"), "ffprobe reads the record");
    film
}

#[test]
fn dynamic_hdr_is_left_out_aloud_and_what_is_wrong_without_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (film, name) in
        [(hdr10_plus(folder.path()), "HDR10+"), (dolby_vision(folder.path(), 8, 1), "Dolby Vision")]
    {
        let result = folder.path().join("out.mp4");
        let mut command = convert(&film);
        command.args(["--engine", "copy", "--overwrite", "-o"]).arg(&result);
        let run = finish(&mut command);
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(run.stderr.contains(&format!("{name} is left out: ")), "{run:?}");
        check_pictures(&USUAL, &film, &result);
        let kept: Vec<String> = first_frame(&result).iter().map(Value::to_string).collect();
        assert!(kept.iter().any(|data| data.contains("Mastering display")), "{kept:?}");
        assert!(!kept.iter().any(|data| data.contains("2094-40")), "{kept:?}");
    }
    let film = dolby_vision(folder.path(), 5, 0);
    let run = finish(convert(&film).args(["--engine", "copy"]));
    assert!(run.error().contains("profile 5") && run.error().contains("allowed are"), "{run:?}");
}

#[test]
fn an_encoder_that_cannot_run_here_is_replaced_aloud() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("film.mp4");
    ffmpeg(&format!("-f lavfi -i {} {X264}", USUAL.picture), &source);
    let result = folder.path().join("out.mp4");
    // No NVENC takes a picture of 256x72 but for the sizes that its hardware allows; without a GPU
    // it takes none. Either way the result is what was asked for.
    let run = finish(
        convert(&source).args(["--engine", "copy", "--codec", "h264-nvenc", "-o"]).arg(&result),
    );
    assert_eq!(run.code, Some(0), "{run:?}");
    check_pictures(&USUAL, &source, &result);
    assert_eq!(probe(&result)["streams"][0]["codec_name"], "h264");
}
