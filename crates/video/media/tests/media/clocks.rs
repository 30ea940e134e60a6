//! Sources whose clocks, lead-ins, lengths or keys are odd.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use parallax_media::{
    AssembleOptions, Assembled, DamageKind, Damaged, DecodeOptions, Decoder, EncodeSettings,
    Encoder, Kind, Packets, Shown, Span, Split, Timing, assemble, plan_segments, probe, scan,
    split,
};

use crate::clips::{Bench, PICTURES, decoded_times};

#[test]
fn encrypted_films_are_named_as_such_before_anything_is_decoded() {
    let bench = Bench::new();
    let key = "-encryption_scheme cenc-aes-ctr -encryption_key 00112233445566778899aabbccddeeff \
               -encryption_kid 0123456789abcdef0123456789abcdef";
    let options = format!("-c:v libx264 -pix_fmt yuv420p {key}");
    let hidden = bench.make("hidden.mp4", &[PICTURES], &options);
    let error = probe(&bench.tools, &hidden, &bench.cancel).unwrap_err();
    assert_eq!(error.kind(), Kind::Input);
    let said = error.to_string();
    assert!(said.ends_with("encrypted (cenc): a decrypted copy is needed"), "{said}");

    // The scrambling bits of every packet of a transport stream.
    let clip = bench.make("a.ts", &[PICTURES], "-c:v libx264 -pix_fmt yuv420p");
    let mut bytes = std::fs::read(clip).unwrap();
    bytes.chunks_exact_mut(188).for_each(|packet| packet[3] |= 0x80);
    let path = bench.path("scrambled.ts");
    std::fs::write(&path, bytes).unwrap();
    let said = probe(&bench.tools, &path, &bench.cancel).unwrap_err().to_string();
    assert!(said.contains("encrypted (scrambled") && said.contains("decrypted copy"), "{said}");
}

/// Sets every bit of the durations in an MP4's headers of version 0.
fn forget_durations(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    for (kind, at) in [(b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)] {
        let places: Vec<usize> =
            (0..bytes.len() - 40).filter(|&place| bytes[place..place + 4] == kind[..]).collect();
        assert!(!places.is_empty());
        places.iter().for_each(|place| bytes[place + at..place + at + 4].fill(0xFF));
    }
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_duration_of_all_ones_is_unknown_rather_than_days() {
    let bench = Bench::new();
    let options = "-c:v libx264 -pix_fmt yuv420p -movflags +frag_keyframe+empty_moov";
    let clip = bench.make("a.mp4", &[PICTURES], options);
    forget_durations(&clip);
    let media = bench.probe(&clip);
    assert_eq!((media.duration_seconds, media.video.duration), (None, None));
    assert_eq!(bench.scan(&media).shown(), 24);
}

#[test]
fn an_odd_sample_aspect_reaches_the_result_exactly() {
    let bench = Bench::new();
    let clip = bench.clip("a.mp4");
    let media = bench.probe(&clip);
    for aspect in [(110, 109), (1216, 1215)] {
        let path = bench.path("shaped.mp4");
        let timing = Timing { time_base: media.video.time_base, rate: media.video.rate };
        let settings = EncodeSettings { sample_aspect: aspect, ..EncodeSettings::default() };
        let format = &media.video.format;
        let mut encoder =
            Encoder::create(&bench.tools, &path, format, timing, &settings, &bench.cancel).unwrap();
        for frame in bench.decoder(&clip) {
            encoder.write(&frame.unwrap()).unwrap();
        }
        encoder.finish().unwrap();
        assert_eq!(bench.probe(&path).video.sample_aspect, aspect);
    }
}

/// Splits the film at `source` and joins it again: what was scanned, the segments and the result.
fn through(bench: &Bench, source: &Path, name: &str) -> (Packets, Split, Assembled, PathBuf) {
    let media = bench.probe(source);
    let packets = bench.scan(&media);
    let plan = plan_segments(&packets, media.video.time_base, Duration::from_millis(250), 99);
    let folder = bench.path(&format!("{name}.segments"));
    std::fs::create_dir(&folder).unwrap();
    let split = split(&bench.tools, &media, &packets, &plan, &folder, &bench.cancel).unwrap();
    let parts: Vec<_> = split.segments.iter().map(|segment| segment.path.clone()).collect();
    let (out, options) = (bench.path(name), AssembleOptions::default());
    let joined = assemble(&bench.tools, &parts, source, &out, options, &bench.cancel).unwrap();
    (packets, split, joined, out)
}

/// Seconds at which the pictures or the sound of a file are shown, as ffprobe decodes them.
fn seconds(path: &Path, stream: &str) -> Vec<f64> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-select_streams", stream, "-show_entries"]);
    let output = command.args(["frame=pts_time", "-of", "csv=p=0"]).arg(path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let times = text.split_whitespace().map(|line| line.trim_end_matches(','));
    times.map(|time| time.parse().unwrap()).collect()
}

/// The transport stream at `path` from packet number `first` of its pictures on, or from the second
/// keyframe.
fn from_packet(bench: &Bench, path: &Path, first: Option<usize>, name: &str) -> PathBuf {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-select_streams", "v:0", "-show_entries", "packet=pos,flags"]);
    let output = command.args(["-of", "csv=p=0"]).arg(path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let packets: Vec<(usize, bool)> = text
        .split_whitespace()
        .filter_map(|line| line.split_once(','))
        .map(|(place, flags)| (place.parse().unwrap(), flags.contains('K')))
        .collect();
    let second = packets.iter().skip(1).position(|(_, key)| *key).unwrap() + 1;
    let bytes = std::fs::read(path).unwrap();
    // The tables at the beginning say what streams there are.
    let (head, from) = (packets[0].0.min(564), packets[first.unwrap_or(second)].0);
    let cut = bench.path(name);
    std::fs::write(&cut, [&bytes[..head], &bytes[from..]].concat()).unwrap();
    cut
}

#[test]
fn a_recording_that_begins_inside_a_group_begins_at_its_first_whole_picture() {
    let bench = Bench::new();
    let film = "testsrc2=size=64x48:rate=25,trim=end_frame=60";
    let tone = "sine=frequency=440:sample_rate=48000:duration=2.4";
    let h264 = "-c:v libx264 -bf 2 -g 12 -sc_threshold 0 -pix_fmt yuv420p -c:a aac";
    let whole = bench.make("h264.ts", &[film, tone], h264);
    let inside = from_packet(&bench, &whole, Some(5), "inside.ts");
    let mpeg2 = "-c:v mpeg2video -bf 2 -g 12 -sc_threshold 1000000000 -c:a mp2";
    let whole = bench.make("mpeg2.ts", &[film, tone], mpeg2);
    let open = from_packet(&bench, &whole, None, "open.ts");
    for (source, lost, copied) in [(inside, 7, true), (open, 2, false)] {
        let (packets, split, joined, out) = through(&bench, &source, &format!("{lost}.mp4"));
        assert_eq!(packets.damage.count(DamageKind::LeadIn), lost, "{source:?}");
        assert_eq!(split.recoded.is_none(), copied, "{source:?}: {:?}", split.recoded);
        // Every group of the second one is open: nowhere to cut.
        assert_eq!(split.segments.len() > 1, copied, "{source:?}");
        // Pictures are where they were, as far from the sound: ffprobe shows the same ones.
        let distances = |path: &Path, from: usize| -> Vec<i64> {
            let sound = seconds(path, "a:0")[2];
            let pictures = seconds(path, "v:0");
            pictures[from..].iter().map(|s| ((s - sound) * 500.0).round() as i64).collect()
        };
        let expected = distances(&source, 0);
        assert_eq!(joined.frames as usize, expected.len());
        assert_eq!(distances(&out, 0), expected, "{source:?}");
        let strict = bench.tools.for_film(Damaged::Refuse);
        let error = scan(&strict, &bench.probe(&source), &bench.cancel).unwrap_err();
        assert!(error.to_string().contains("cannot be decoded"), "{error}");
    }
}

#[test]
fn whole_pictures_before_a_keyframe_are_no_lead_in() {
    let bench = Bench::new();
    let film = "testsrc2=size=64x48:rate=25,trim=end_frame=40";
    let closed = "-c:v mpeg2video -bf 2 -g 12 -flags +cgop -sc_threshold 1000000000";
    let source = bench.make("closed.ts", &[film], closed);
    let packets = bench.scan(&bench.probe(&source));
    assert_eq!((packets.shown(), packets.damage.is_empty()), (40, true));
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

#[test]
fn the_clock_of_joined_recordings_is_continued_for_pictures_and_sound() {
    let bench = Bench::new();
    let options = "-c:v libx264 -bf 2 -g 6 -sc_threshold 0 -pix_fmt yuv420p -c:a aac";
    let tone = "sine=frequency=440:sample_rate=48000:duration=1.3";
    let first = bench.make("a.ts", &[PICTURES, tone], options);
    let late = bench.remake("late.ts", &first, "-c copy -output_ts_offset 7200");
    let bytes = std::fs::read(&first).unwrap();
    for (name, second) in [("again", bytes.clone()), ("later", std::fs::read(&late).unwrap())] {
        let source = bench.path(&format!("{name}.ts"));
        std::fs::write(&source, numbered([bytes.clone(), second].concat())).unwrap();
        let (packets, split, joined, out) = through(&bench, &source, &format!("{name}.mp4"));
        assert_eq!(packets.damage.count(DamageKind::Clock), 1, "{name}");
        assert!(split.recoded.is_some());
        assert_eq!(
            (joined.frames, joined.warnings.is_empty()),
            (48, true),
            "{:?}",
            joined.warnings
        );
        let (pictures, sound) = (seconds(&out, "v:0"), seconds(&out, "a:0"));
        assert_eq!(pictures.len(), 48);
        let rising = |times: &[f64]| times.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(rising(&pictures) && rising(&sound), "{name}");
        assert!(*pictures.last().unwrap() < 2.8, "{name}: {pictures:?}");
        // Sound has no hole, and the second recording's pictures are as far from it as the first's.
        let longest = sound.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
        assert!(longest < 0.0225, "{name}: {longest}");
        let frames = sound.len() / 2;
        let apart = (pictures[24] - sound[frames]) - (pictures[0] - sound[0]);
        assert!(apart.abs() < 0.002, "{name}: {apart}");
    }
}

#[test]
fn a_clock_that_falls_by_an_hour_makes_no_film_of_a_day() {
    let bench = Bench::new();
    let options = "-c:v libx264 -bf 2 -g 6 -sc_threshold 0 -pix_fmt yuv420p -c:a aac";
    let tone = "sine=frequency=440:sample_rate=48000:duration=1";
    let early = bench.make("early.ts", &[PICTURES, tone], options);
    let late = bench.remake("late.ts", &early, "-c copy -output_ts_offset 3600");
    let source = bench.path("back.ts");
    let both = [std::fs::read(late).unwrap(), std::fs::read(early).unwrap()].concat();
    std::fs::write(&source, numbered(both)).unwrap();
    let (packets, _, joined, out) = through(&bench, &source, "back.mp4");
    assert_eq!((joined.frames, packets.damage.count(DamageKind::Clock)), (48, 1));
    let pictures = seconds(&out, "v:0");
    assert!(pictures.len() == 48 && pictures[47] - pictures[0] < 2.5, "{pictures:?}");
    // A length that the clock does not make is still refused.
    let mut tools = bench.tools.clone();
    tools.limits.duration = Duration::from_secs(1);
    let error = scan(&tools, &bench.probe(&source), &bench.cancel).unwrap_err().to_string();
    assert!(error.contains("2 s long; allowed are 1 s"), "{error}");
}

#[test]
fn recordings_of_a_quarter_second_are_joined_one_after_the_other() {
    let bench = Bench::new();
    let film = "testsrc2=size=64x48:rate=24,trim=end_frame=6";
    let tone = "sine=frequency=440:sample_rate=48000:duration=0.25";
    let options = "-c:v libx264 -bf 0 -pix_fmt yuv420p -c:a mp2";
    let one = std::fs::read(bench.make("one.ts", &[film, tone], options)).unwrap();
    let source = bench.path("short.ts");
    std::fs::write(&source, numbered(one.repeat(3))).unwrap();
    let (packets, _, joined, out) = through(&bench, &source, "short.mp4");
    assert_eq!((joined.frames, packets.damage.count(DamageKind::Clock)), (18, 2));
    // In the order of the file, and as long as three of them.
    let stored: Vec<_> = packets.packets.iter().map(|packet| packet.pts.unwrap()).collect();
    assert!(stored.is_sorted(), "{stored:?}");
    let pictures = seconds(&out, "v:0");
    assert!((0.7..0.95).contains(&(pictures[17] - pictures[0])), "{pictures:?}");
}

#[test]
fn parts_of_a_film_whose_clock_jumps_are_its_frames_at_the_times_of_the_scan() {
    let bench = Bench::new();
    let options = "-c:v libx264 -bf 2 -g 6 -sc_threshold 0 -pix_fmt yuv420p";
    let first = bench.make("a.ts", &[PICTURES], options);
    let other = "mandelbrot=size=64x48:rate=24000/1001,trim=end_frame=24";
    let second = bench.make("b.ts", &[other], options);
    let source = bench.path("joined.ts");
    let both = [std::fs::read(first).unwrap(), std::fs::read(second).unwrap()].concat();
    std::fs::write(&source, numbered(both)).unwrap();
    let media = bench.probe(&source);
    let packets = bench.scan(&media);
    let times = packets.frame_times().unwrap();
    let options = DecodeOptions::default();
    let all = Shown::open(&bench.tools, &media, &packets, &packets, options, &bench.cancel);
    let all: Vec<_> = all.unwrap().map(Result::unwrap).collect();
    assert_eq!(all.len(), 48);
    for (from, to) in [(3, 4), (22, 27), (40, 48)] {
        let end = times.get(to).copied().unwrap_or(i64::MAX);
        let span = Span { times: times[from]..end, longest: None };
        let part = Decoder::open_span(&bench.tools, &media, &packets, span, options, &bench.cancel);
        let part: Vec<_> = part.unwrap().map(Result::unwrap).collect();
        assert!(part == all[from..to], "{from} to {to}");
    }
}

#[test]
fn bytes_of_no_stream_at_the_beginning_take_no_picture_at_the_end() {
    let bench = Bench::new();
    let options = "-c:v libx264 -bf 2 -g 6 -sc_threshold 0 -pix_fmt yuv420p";
    let clip = std::fs::read(bench.make("a.ts", &[PICTURES], options)).unwrap();
    let source = bench.path("late.ts");
    std::fs::write(&source, [&[0x3C; 701][..], &clip].concat()).unwrap();
    let packets = bench.scan(&bench.probe(&source));
    assert_eq!((packets.shown(), packets.damage.is_empty()), (24, true), "{:?}", packets.damage);
    std::fs::write(&source, [&[0x3C; 701][..], &clip[..clip.len() - 100]].concat()).unwrap();
    let packets = bench.scan(&bench.probe(&source));
    assert_eq!(packets.damage.count(DamageKind::CutShort), 1);
}

#[test]
fn a_still_picture_over_sound_that_goes_on_is_no_jump_of_the_clock() {
    let bench = Bench::new();
    let film = "testsrc2=size=64x48:rate=5:duration=20,select='lt(t,3)+gt(t,15)'";
    let tone = "sine=frequency=440:sample_rate=16000:duration=20";
    let options = "-c:v libx264 -tune zerolatency -vsync passthrough -pix_fmt yuv420p -c:a mp2";
    let source = bench.make("still.ts", &[film, tone], options);
    let packets = bench.scan(&bench.probe(&source));
    assert!(packets.damage.is_empty() && packets.clocks.is_empty(), "{:?}", packets.damage);
    let times = packets.frame_times().unwrap();
    assert!(times.windows(2).any(|pair| pair[1] - pair[0] > 11 * 90_000), "no pause: {times:?}");
}

#[test]
fn pictures_at_one_time_are_moved_apart_by_a_tick() {
    let bench = Bench::new();
    let clip = bench.make("a.mkv", &[PICTURES], "-c:v libx264 -bf 0 -g 6 -pix_fmt yuv420p");
    let doubles = "-c copy -bsf:v setts=ts=if(eq(N\\,9)\\,PREV_OUTPTS\\,TS)";
    let source = bench.remake("double.mkv", &clip, doubles);
    let stored = decoded_times(&source);
    assert_eq!(stored[8], stored[9], "no double time to test with");
    let (packets, split, joined, out) = through(&bench, &source, "apart.mp4");
    assert_eq!(packets.damage.count(DamageKind::DoubleTime), 1);
    let mut expected = stored.clone();
    expected[9] += 1;
    assert_eq!(packets.frame_times(), Some(expected));
    assert!(split.recoded.is_some());
    assert_eq!((joined.frames, seconds(&out, "v:0").len()), (24, 24));
}

#[test]
fn a_film_that_lost_its_end_is_converted_as_far_as_it_goes() {
    let bench = Bench::new();
    let options = "-c:v libx264 -bf 2 -g 6 -sc_threshold 0 -pix_fmt yuv420p";
    let stream = bench.make("a.ts", &[PICTURES], options);
    let fragments = format!("{options} -movflags +frag_keyframe+empty_moov");
    let fragments = bench.make("a.mp4", &[PICTURES], &fragments);
    let whole = bench.make("a.mkv", &[PICTURES], options);
    let front = bench.remake("front.mp4", &whole, "-c copy -movflags +faststart");
    for (path, name) in [(stream, "cut.ts"), (fragments, "frag.mp4"), (front, "cut.mp4")] {
        let bytes = std::fs::read(path).unwrap();
        let cut = bench.path(name);
        std::fs::write(&cut, &bytes[..(bytes.len() * 7 / 10) | 1]).unwrap();
        let (packets, split, joined, _) = through(&bench, &cut, &format!("{name}.out.mp4"));
        assert_eq!(packets.damage.count(DamageKind::CutShort), 1, "{name}");
        assert_eq!((joined.frames, split.recoded), (packets.shown(), None), "{name}");
        let strict = bench.tools.for_film(Damaged::Refuse);
        let error = scan(&strict, &bench.probe(&cut), &bench.cancel).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("truncated") && error.contains("--damaged repair"), "{error}");
    }
}

#[test]
fn the_last_frame_keeps_its_length_and_no_pause_is_guessed_after_it() {
    let bench = Bench::new();
    // A long last frame whose length the container knows, and a pause before a last frame.
    let times = "if(lt(N,12),N*40,N*40+2000)";
    let source =
        format!("testsrc2=size=64x48:rate=25,trim=end_frame=13,settb=1/1000,setpts='{times}'");
    let options = "-c:v libx264 -bf 0 -g 6 -vsync passthrough -enc_time_base 1:1000 \
                   -video_track_timescale 1000 -pix_fmt yuv420p";
    let clip = bench.make("pause.mp4", &[&source], options);
    let long = "-c copy -video_track_timescale 1000 -bsf:v setts=pts=PTS:dts=DTS:duration=if(eq(N\\,12)\\,700\\,DURATION)";
    for (name, options, length) in [("long", long, 700), ("short", "-c copy", 40)] {
        let mut source = bench.remake(&format!("{name}.mp4"), &clip, options);
        if name == "short" {
            // Matroska without a length of frames.
            source = bench.remake("short.mkv", &clip, "-c copy");
        }
        let (_, _, _, out) = through(&bench, &source, &format!("{name}.out.mp4"));
        let media = bench.probe(&out);
        let packets = bench.scan(&media);
        let last = *packets.frame_times().unwrap().last().unwrap();
        let found = media.video.time_base.rescale(packets.end().unwrap() - last, 1000);
        assert!((found - length).abs() <= 2, "{name}: {found} ms");
    }
}

#[test]
fn frames_are_those_that_the_scan_shows() {
    let bench = Bench::new();
    let clip = bench.clip("a.mp4");
    let media = bench.probe(&clip);
    let packets = bench.scan(&media);
    let options = parallax_media::DecodeOptions::default();
    let shown =
        Shown::open(&bench.tools, &media, &packets, Some(24), options, &bench.cancel).unwrap();
    let times: Vec<i64> = shown.map(|frame| frame.unwrap().pts).collect();
    assert_eq!(Some(times), packets.frame_times());
}

#[test]
fn an_animated_gif_keeps_its_delays() {
    let bench = Bench::new();
    let pictures = "testsrc2=size=64x48:rate=10,trim=end_frame=4,setpts='N*N*2'";
    let source = bench.make("a.gif", &[pictures], "-vsync passthrough -enc_time_base 1:100");
    let (packets, split, joined, out) = through(&bench, &source, "gif.mp4");
    assert!(split.recoded.is_some() && joined.warnings.is_empty(), "{:?}", joined.warnings);
    let stored = seconds(&source, "v:0");
    assert_eq!((stored.len(), packets.shown()), (4, 4));
    let distances = |times: &[f64]| -> Vec<i64> {
        times.windows(2).map(|pair| ((pair[1] - pair[0]) * 1000.0).round() as i64).collect()
    };
    assert_eq!(distances(&seconds(&out, "v:0")), distances(&stored));
}

#[test]
fn stills_and_what_ffmpeg_cannot_decode_are_refused_with_a_way_on() {
    let bench = Bench::new();
    let one = "testsrc2=size=64x48:rate=1:duration=1";
    let png = bench.make("a.png", &[one], "-frames:v 1");
    let said = probe(&bench.tools, &png, &bench.cancel).unwrap_err().to_string();
    assert!(said.contains("a still picture") && said.contains("-loop 1"), "{said}");
    let webp = bench.path("a.webp");
    let head = b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\x3f\0\0\x2f\0\0ANIM\x06\0\0\0";
    std::fs::write(&webp, [&head[..], &[0; 40]].concat()).unwrap();
    let said = probe(&bench.tools, &webp, &bench.cancel).unwrap_err().to_string();
    assert!(said.contains("animated WebP") && said.contains("first"), "{said}");
}

#[test]
fn arrangements_of_two_views_are_told_by_the_probe() {
    let bench = Bench::new();
    let packed = "-c:v libx264 -pix_fmt yuv420p -x264-params frame-packing=3";
    for (name, options, views) in [
        ("a.mkv", "-c:v libx264 -metadata:s:v:0 stereo_mode=left_right", Some("side by side")),
        ("b.mkv", "-c:v libx264 -metadata:s:v:0 stereo_mode=checkerboard_lr", Some("checkerboard")),
        ("c.mkv", "-c:v libx264", None),
        ("d.mp4", packed, None),
    ] {
        let media = bench.probe(&bench.make(name, &[PICTURES], options));
        assert_eq!(media.video.views.as_deref(), views, "{name}");
    }
}
