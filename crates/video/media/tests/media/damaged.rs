//! Films with damage inside: repaired by default, told, and the same on every run.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parallax_frame::Frame;
use parallax_media::{
    Damage, DamageKind, DamageLog, Damaged, Decoder, Expected, Kind, Limits, Media, Programs,
    Tools, WholeFilm, plan_segments, split,
};

use crate::clips::{Bench, PICTURES};

/// Bytes that no decoder understands, over the middle of the shown packets `which`.
fn spoil(bench: &Bench, name: &str, clip: &Path, which: &[usize]) -> PathBuf {
    let mut bytes = std::fs::read(clip).unwrap();
    for (number, (at, size)) in places(clip).into_iter().enumerate() {
        if which.contains(&number) {
            // The first bytes say how long the rest is.
            bytes[at + size / 4..at + size].fill(0x55);
        }
    }
    let path = bench.path(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Place and size of each packet in the file, in decode order.
fn places(clip: &Path) -> Vec<(usize, usize)> {
    let mut command = std::process::Command::new("ffprobe");
    command.args(["-v", "error", "-select_streams", "v:0", "-show_entries", "packet=pos,size"]);
    let output = command.args(["-of", "csv=p=0"]).arg(clip).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let place = |line: &str| {
        let mut fields = line.split(',').map(|field| field.parse::<usize>());
        let (size, pos) = (fields.next()?.ok()?, fields.next()?.ok()?);
        Some((pos, size))
    };
    text.lines().filter_map(place).collect()
}

/// Every frame is I or P, in order, so that a packet's number is its picture's.
fn plain(bench: &Bench, name: &str) -> PathBuf {
    let options = "-c:v libx264 -bf 0 -g 6 -sc_threshold 0 -qp 12 -pix_fmt yuv420p";
    bench.make(name, &[PICTURES], options)
}

fn decode(tools: &Tools, bench: &Bench, path: &Path) -> (Result<Vec<Frame>, String>, Damage) {
    let media = bench.probe(path);
    let packets = parallax_media::scan(tools, &media, &bench.cancel).unwrap();
    let mut decoder = Decoder::open(tools, &media, &packets, &bench.cancel).unwrap();
    let frames = decoder.by_ref().collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string());
    (frames, decoder.damage().clone())
}

fn times(bench: &Bench, path: &Path) -> Vec<i64> {
    bench.scan(&bench.probe(path)).frame_times().unwrap()
}

#[test]
fn a_bad_picture_repeats_the_last_good_one_and_is_counted_with_its_place() {
    let bench = Bench::new();
    let clip = plain(&bench, "clean.mp4");
    let (whole, none) = decode(&bench.tools, &bench, &clip);
    let whole = whole.unwrap();
    assert!(none.is_empty(), "{none:?}");
    let broken = spoil(&bench, "broken.mp4", &clip, &[11]);
    let (frames, damage) = decode(&bench.tools, &bench, &broken);
    let frames = frames.unwrap();
    let found: Vec<i64> = frames.iter().map(|frame| frame.pts).collect();
    assert_eq!(found, times(&bench, &clip));
    for (number, (frame, clean)) in frames.iter().zip(&whole).enumerate() {
        let expected = if number == 11 { &whole[10] } else { clean };
        assert!(frame.data() == expected.data(), "frame {number}");
    }
    assert_eq!(damage.count(DamageKind::Picture), 1);
    let place = bench.probe(&clip).video.time_base.seconds(whole[11].pts);
    let line = &damage.lines()[0];
    assert!(line.ends_with(&format!("at {place:.3} s")), "{line}");
}

#[test]
fn damage_gives_the_same_frames_and_report_on_every_run() {
    let bench = Bench::new();
    let options = "-c:v libx264 -bf 2 -g 12 -sc_threshold 0 -qp 12 -pix_fmt yuv420p";
    let clip = bench.make("clean.mp4", &[PICTURES], options);
    let broken = spoil(&bench, "broken.mp4", &clip, &[3, 4, 13]);
    let (first, damage) = decode(&bench.tools, &bench, &broken);
    let first = first.unwrap();
    assert_eq!(first.len(), 24);
    assert!(damage.count(DamageKind::Picture) > 0);
    for _ in 0..4 {
        let (again, same) = decode(&bench.tools, &bench, &broken);
        assert!(again.unwrap() == first);
        assert_eq!(same, damage);
    }
}

#[test]
fn pictures_that_a_decoder_keeps_back_without_a_word_repeat_the_last_good_one() {
    let bench = Bench::new();
    let clip = plain(&bench, "clean.ts");
    let whole = decode(&bench.tools, &bench, &clip).0.unwrap();
    let (bytes, at) = (std::fs::read(&clip).unwrap(), places(&clip));
    // With pictures 12 and 18, which need no other, go those up to the next such one, or the end.
    for (lost, kept_back) in [(10..14, 14..18), (16..20, 20..24)] {
        let broken = bench.path(&format!("broken-{}.ts", lost.start));
        let rest = &bytes[at[lost.end].0..];
        std::fs::write(&broken, [&bytes[..at[lost.start].0], rest].concat()).unwrap();
        let (frames, damage) = decode(&bench.tools, &bench, &broken);
        let frames = frames.unwrap();
        assert_eq!(frames.len(), 20, "{damage:?}");
        let repeated = damage.count(DamageKind::Picture) as usize;
        assert!((1..=4).contains(&repeated), "{damage:?}");
        let left = (0..24).filter(|number| !lost.contains(number));
        for (number, frame) in left.zip(&frames) {
            assert_eq!(frame.pts, whole[number].pts);
            // What only refers to a lost one is as the decoder makes it.
            let shown = match number.checked_sub(kept_back.start) {
                Some(place) if place < repeated => lost.start - 1,
                Some(place) if place < kept_back.len() => continue,
                _ => number,
            };
            assert!(frame.data() == whole[shown].data(), "picture {number}");
        }
        let (media, refuse) = (bench.probe(&broken), bench.tools.for_film(Damaged::Refuse));
        let packets = bench.scan(&media);
        let refused = Decoder::open(&refuse, &media, &packets, &bench.cancel).unwrap().last();
        let error = refused.unwrap().unwrap_err().to_string();
        assert!(error.contains("damaged or truncated"), "{error}");
    }
}

#[test]
fn pictures_at_times_that_do_not_ascend_are_moved_apart_and_told() {
    let bench = Bench::new();
    let options = "-c:v mpeg2video -bf 2 -g 12 -q:v 2 -pix_fmt yuv420p";
    let source = "testsrc2=size=64x48:rate=24,trim=end_frame=48";
    let clip = bench.make("clean.mpg", &[source], options);
    // One pack of the program stream: some pictures lose the times that went with it.
    let mut bytes = std::fs::read(&clip).unwrap();
    bytes.drain(2048..4096);
    let broken = bench.path("broken.mpg");
    std::fs::write(&broken, bytes).unwrap();
    let tools = bench.tools.for_film(Damaged::Repair);
    let media = bench.probe(&broken);
    let mut decoder = Decoder::open(&tools, &media, Expected::Unknown, &bench.cancel).unwrap();
    let frames = decoder.by_ref().collect::<Result<Vec<_>, _>>().unwrap();
    let found: Vec<i64> = frames.iter().map(|frame| frame.pts).collect();
    assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "{found:?}");
    assert!(decoder.damage().count(DamageKind::DoubleTime) > 0, "{found:?}");
    let tools = bench.tools.for_film(Damaged::Repair);
    let packets = bench.scan(&media);
    let plan = plan_segments(&packets, media.video.time_base, Duration::from_secs(1), 99);
    let folder = bench.path("cut");
    std::fs::create_dir(&folder).unwrap();
    let split = split(&tools, &media, &packets, &plan, &folder, &bench.cancel).unwrap();
    assert!(split.segments.iter().map(|segment| segment.frames).sum::<u64>() > 30);
    assert!(tools.damage.so_far().count(DamageKind::DoubleTime) > 0);
}

#[test]
fn pictures_that_are_missing_from_the_file_are_told_or_refused() {
    let bench = Bench::new();
    let source = "testsrc2=size=64x48:rate=25,trim=end_frame=50";
    let options = "-c:v libx264 -bf 0 -g 10 -sc_threshold 0 -qp 12 -pix_fmt yuv420p";
    for (name, more) in [("clean.mkv", "-cluster_time_limit 400"), ("clean.ts", "")] {
        let clip = bench.make(name, &[source], &format!("{options} {more}"));
        let (mut bytes, at) = (std::fs::read(&clip).unwrap(), places(&clip));
        if name.ends_with("mkv") {
            // Zeros cost the demuxer its way up to the next cluster.
            bytes[at[22].0 - 8..at[24].0].fill(0);
        } else {
            bytes.drain(at[22].0..at[26].0);
        }
        let broken = bench.path(&format!("broken-{name}"));
        std::fs::write(&broken, bytes).unwrap();
        let media = bench.probe(&broken);
        let packets = bench.scan(&media);
        let missing = 50 - packets.shown();
        assert!(missing >= 4, "{name}: {missing}");
        assert_eq!(packets.damage.count(DamageKind::Lost), missing, "{name}");
        let place = &packets.damage.lines()[0];
        assert!(place.contains(": at 0.840 s"), "{name}: {place}");
        let refuse = bench.tools.for_film(Damaged::Refuse);
        let error = parallax_media::scan(&refuse, &media, &bench.cancel).unwrap_err().to_string();
        assert!(error.contains(&format!("missing: about {missing}, the first after 0.840 s")));
        assert!(bench.scan(&bench.probe(&clip)).damage.is_empty(), "{name}");
    }
    // A picture that stays, in a file that is whole.
    let pause = format!("{source},setpts=(N+gte(N\\,20)*7)/25/TB");
    for name in ["pause.mkv", "pause.ts"] {
        let clip = bench.make(name, &[&pause], &format!("{options} -vsync vfr"));
        let packets = bench.scan(&bench.probe(&clip));
        let times = packets.frame_times().unwrap();
        assert!((times[20] - times[19]) / (times[19] - times[18]) >= 7, "{name}: {times:?}");
        assert!(packets.damage.is_empty(), "{name}: {:?}", packets.damage);
    }
}

#[test]
fn a_first_picture_that_is_bad_takes_the_next_good_one() {
    let bench = Bench::new();
    let options = "-c:v mjpeg -q:v 3 -pix_fmt yuvj420p";
    let clip = bench.make("clean.mkv", &[PICTURES], options);
    let whole = decode(&bench.tools, &bench, &clip).0.unwrap();
    let mut bytes = std::fs::read(&clip).unwrap();
    let (at, size) = places(&clip)[0];
    bytes[at..at + size].iter_mut().skip(10).for_each(|byte| *byte = 0x55);
    let broken = bench.path("broken.mkv");
    std::fs::write(&broken, bytes).unwrap();
    let (frames, damage) = decode(&bench.tools, &bench, &broken);
    let frames = frames.unwrap();
    assert_eq!(frames.len(), 24);
    assert!(frames[0].data() == whole[1].data() && frames[0].pts == whole[0].pts);
    assert_eq!(damage.count(DamageKind::Picture), 1);
}

#[test]
fn whoever_wants_no_damage_refuses_it() {
    let bench = Bench::new();
    let broken = spoil(&bench, "broken.mp4", &plain(&bench, "clean.mp4"), &[11]);
    let tools = bench.tools.for_film(Damaged::Refuse);
    let error = decode(&tools, &bench, &broken).0.unwrap_err();
    assert!(error.contains("broken.mp4: damaged or truncated"), "{error}");
    assert!(error.ends_with("--damaged repair converts it all the same"), "{error}");
}

#[test]
fn a_film_that_is_mostly_damage_ends_with_one_clear_error() {
    let bench = Bench::new();
    let source = "testsrc2=size=64x48:rate=24,trim=end_frame=72";
    let options = "-c:v libx264 -bf 0 -g 6 -sc_threshold 0 -qp 12 -pix_fmt yuv420p";
    let clip = bench.make("clean.mp4", &[source], options);
    let bad: Vec<usize> = (20..60).collect();
    let broken = spoil(&bench, "broken.mp4", &clip, &bad);
    let error = decode(&bench.tools, &bench, &broken).0.unwrap_err();
    assert!(error.contains("broken.mp4: mostly damaged: 26 of 72 pictures"), "{error}");
    // Of a long film it would be a part.
    let film = WholeFilm { pictures: 1000, damage: DamageLog::default() };
    let (frames, damage) = decode(&bench.tools.for_part(&film), &bench, &broken);
    assert_eq!(frames.unwrap().len(), 72);
    assert_eq!(film.damage.so_far(), damage);
}

#[test]
fn a_part_of_which_nothing_can_be_read_is_black() {
    let bench = Bench::new();
    let clip = plain(&bench, "clean.mp4");
    let broken = spoil(&bench, "broken.mp4", &clip, &(0..24).collect::<Vec<_>>());
    let error = decode(&bench.tools, &bench, &broken).0.unwrap_err();
    assert!(error.contains("broken.mp4"), "{error}");
    let film = WholeFilm { pictures: 1000, damage: DamageLog::default() };
    let (frames, damage) = decode(&bench.tools.for_part(&film), &bench, &broken);
    let frames = frames.unwrap();
    assert_eq!(frames.iter().map(|frame| frame.pts).collect::<Vec<_>>(), times(&bench, &clip));
    assert_eq!(damage.count(DamageKind::Picture), 24);
}

#[test]
fn segments_of_a_damaged_film_hold_all_of_its_frames() {
    let bench = Bench::new();
    let options = "-c:v libx264 -bf 2 -b_strategy 0 -g 6 -sc_threshold 0 -qp 12 -pix_fmt yuv420p";
    for (name, again) in [("copied.ts", false), ("encoded.mkv", true)] {
        // MP4 holds no Ut Video.
        let coder = if again { "-c:v utvideo -pix_fmt yuv420p" } else { options };
        let clip = bench.make(name, &[PICTURES], coder);
        let mut bytes = std::fs::read(&clip).unwrap();
        if again {
            let (at, size) = places(&clip)[9];
            bytes[at + 20..at + size].fill(0x55);
        } else {
            // One packet of the transport stream, in the middle of a keyframe.
            let (at, size) = places(&clip)[6];
            assert!(size > 4 * 188);
            bytes.drain(at + 188..at + 2 * 188);
        }
        let broken = bench.path(&format!("broken-{name}"));
        std::fs::write(&broken, bytes).unwrap();
        let tools = bench.tools.for_film(Damaged::Repair);
        let media = bench.probe(&broken);
        let packets = bench.scan(&media);
        let plan = plan_segments(&packets, media.video.time_base, Duration::from_millis(250), 99);
        let folder = bench.path(&format!("cut-{name}"));
        std::fs::create_dir(&folder).unwrap();
        let split = split(&tools, &media, &packets, &plan, &folder, &bench.cancel).unwrap();
        assert_eq!(split.recoded.is_some(), again, "{:?}", split.recoded);
        let mut frames = 0;
        for segment in &split.segments {
            frames += decode(&tools, &bench, &segment.path).0.unwrap().len() as u64;
        }
        assert_eq!(frames, packets.shown(), "{name}");
        assert!(tools.damage.so_far().count(DamageKind::Picture) > 0, "{name}");
    }
}

#[test]
fn a_picture_of_another_size_keeps_its_shape_wherever_it_is_cut() {
    let bench = Bench::new();
    let options = "-c:v libx264 -bf 0 -g 6 -sc_threshold 0 -qp 12 -pix_fmt yuv420p \
                   -x264-params repeat-headers=1 -f mpegts -muxdelay 0 -muxpreload 0";
    let wide =
        bench.make("wide.ts", &["color=white:size=96x64:rate=24,trim=end_frame=12"], options);
    let later = "color=white:size=64x64:rate=24,trim=end_frame=12";
    let tall = bench.make("tall.ts", &[later], &format!("{options} -output_ts_offset 0.5"));
    let joined = bench.path("joined.ts");
    let both = [std::fs::read(wide).unwrap(), std::fs::read(tall).unwrap()].concat();
    std::fs::write(&joined, both).unwrap();
    let tools = bench.tools.for_film(Damaged::Repair);
    let (frames, damage) = decode(&tools, &bench, &joined);
    let frames = frames.unwrap();
    assert_eq!((frames.len(), damage.count(DamageKind::Size)), (24, 12), "{damage:?}");
    let row = |frame: &Frame| -> Vec<u8> { frame.plane(0)[96 * 32..96 * 33].to_vec() };
    assert!(row(&frames[3]).iter().all(|&luma| luma > 200));
    // Bars of 16 columns, and white between them.
    let squared = row(&frames[20]);
    assert!(squared[..15].iter().all(|&luma| luma < 30), "{squared:?}");
    assert!(squared[17..79].iter().all(|&luma| luma > 200), "{squared:?}");
    assert!(squared[81..].iter().all(|&luma| luma < 30), "{squared:?}");
    for seconds in [0.25, 10.0] {
        let media = bench.probe(&joined);
        let packets = bench.scan(&media);
        let target = Duration::from_secs_f64(seconds);
        let plan = plan_segments(&packets, media.video.time_base, target, 99);
        let folder = bench.path(&format!("cut-{seconds}"));
        std::fs::create_dir(&folder).unwrap();
        let split = split(&tools, &media, &packets, &plan, &folder, &bench.cancel).unwrap();
        let parts = split.segments.iter().flat_map(|part| {
            decode(&tools, &bench, &part.path).0.unwrap().into_iter().map(Frame::into_data)
        });
        let whole: Vec<Vec<u8>> = frames.iter().map(|frame| frame.data().to_vec()).collect();
        assert!(parts.collect::<Vec<_>>() == whole, "segments of {seconds} s");
    }
}

#[test]
fn pixels_of_another_shape_are_fitted_and_told_wherever_the_film_is_cut() {
    let bench = Bench::new();
    let white = "color=white:size=96x64:rate=24,trim=end_frame=12";
    for (name, codec, later) in [
        ("h264", "-c:v libx264 -qp 12 -x264-params repeat-headers=1", "0.5"),
        ("mpeg2", "-c:v mpeg2video -q:v 2", "0.541667"),
    ] {
        let options = format!(
            "{codec} -bf 0 -g 6 -sc_threshold 1000000000 -pix_fmt yuv420p -f mpegts -muxdelay 0 \
             -muxpreload 0"
        );
        let square = bench.make(&format!("{name}-a.ts"), &[white], &options);
        // Half as wide again as it is stored.
        let wide = format!("{white},setsar=3/2");
        let wide = bench.make(
            &format!("{name}-b.ts"),
            &[&wide],
            &format!("{options} -output_ts_offset {later}"),
        );
        let joined = bench.path(&format!("{name}.ts"));
        let both = [std::fs::read(&square).unwrap(), std::fs::read(wide).unwrap()].concat();
        std::fs::write(&joined, both).unwrap();
        let tools = bench.tools.for_film(Damaged::Repair);
        let (frames, damage) = decode(&tools, &bench, &joined);
        let frames = frames.unwrap();
        let sizes = damage.count(DamageKind::Size);
        assert_eq!((frames.len(), sizes), (24, 12), "{name}: {damage:?}");
        let column = |frame: &Frame| -> Vec<u8> {
            frame.plane(0).iter().skip(48).step_by(96).copied().collect()
        };
        assert!(column(&frames[3]).iter().all(|&luma| luma > 200), "{name}");
        // Of 64 rows two thirds, and bars above and below.
        let flat = column(&frames[20]);
        assert!(flat[..9].iter().chain(&flat[55..]).all(|&luma| luma < 40), "{name}: {flat:?}");
        assert!(flat[13..51].iter().all(|&luma| luma > 200), "{name}: {flat:?}");
        for seconds in [0.25, 10.0] {
            let media = bench.probe(&joined);
            let packets = bench.scan(&media);
            let target = Duration::from_secs_f64(seconds);
            let plan = plan_segments(&packets, media.video.time_base, target, 99);
            let folder = bench.path(&format!("{name}-{seconds}"));
            std::fs::create_dir(&folder).unwrap();
            let split = split(&tools, &media, &packets, &plan, &folder, &bench.cancel).unwrap();
            let parts = split.segments.iter().flat_map(|part| {
                decode(&tools, &bench, &part.path).0.unwrap().into_iter().map(Frame::into_data)
            });
            let whole: Vec<Vec<u8>> = frames.iter().map(|frame| frame.data().to_vec()).collect();
            assert!(parts.collect::<Vec<_>>() == whole, "{name}: segments of {seconds} s");
        }
        // A film of one shape is cut without encoding it.
        let media = bench.probe(&square);
        let packets = bench.scan(&media);
        let target = Duration::from_millis(250);
        let plan = plan_segments(&packets, media.video.time_base, target, 99);
        let folder = bench.path(&format!("{name}-square"));
        std::fs::create_dir(&folder).unwrap();
        let split = split(&tools, &media, &packets, &plan, &folder, &bench.cancel).unwrap();
        assert_eq!((split.segments.len(), split.recoded), (2, None), "{name}");
    }
}

#[test]
fn segments_of_a_broadcast_keep_the_exact_shape_of_their_pixels() {
    let bench = Bench::new();
    let wide = "testsrc2=size=96x64:rate=24,trim=end_frame=24,setsar=32/27";
    let film = bench.make("a.ts", &[wide], "-c:v mpeg2video -q:v 2 -g 6 -pix_fmt yuv420p");
    let media = bench.probe(&film);
    assert_eq!(media.video.sample_aspect, (32, 27));
    let packets = bench.scan(&media);
    let plan = plan_segments(&packets, media.video.time_base, Duration::from_millis(250), 99);
    let folder = bench.path("segments");
    std::fs::create_dir(&folder).unwrap();
    let split = split(&bench.tools, &media, &packets, &plan, &folder, &bench.cancel).unwrap();
    assert!(split.segments.len() > 1 && split.recoded.is_none());
    for part in &split.segments {
        assert_eq!(bench.probe(&part.path).video.sample_aspect, (32, 27));
    }
}

/// The tools with an ffmpeg that a shell script stands in for; it says its version like the real one.
pub(crate) fn scripted(bench: &Bench, script: &str, stall_time: Duration) -> Tools {
    let path = bench.path("ffmpeg");
    let real = bench.tools.programs.ffmpeg.display();
    let text = format!("#!/bin/sh\ncase $1 in -version) exec {real} -version;; esac\n{script}\n");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let programs = Programs { ffmpeg: path, ..bench.tools.programs.clone() };
    let limits = Limits { stall_time, ..bench.tools.limits.clone() };
    Tools::new(programs, limits).unwrap()
}

fn refusal(tools: &Tools, bench: &Bench, media: &Media) -> String {
    let expected = Expected::Frames(24);
    let decoder = Decoder::open(tools, media, expected, &bench.cancel).unwrap();
    let error = decoder.last().unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::Input);
    error.to_string()
}

#[test]
fn an_ffmpeg_that_hangs_is_ended_and_named_with_the_file() {
    let bench = Bench::new();
    let media = bench.probe(&bench.clip("film.mp4"));
    // A picture without its time, silence, and silence while a second process holds the pipes.
    let picture = "head -c 4608 /dev/zero";
    for script in [
        "exec sleep 60".to_owned(),
        format!("{picture}; exec sleep 60"),
        "sleep 60 & wait".to_owned(),
    ] {
        let tools = scripted(&bench, &script, Duration::from_millis(300));
        let error = refusal(&tools, &bench, &media);
        assert!(error.contains("film.mp4") && error.contains("did nothing for 0.3 s"), "{error}");
    }
}

#[test]
fn an_ffmpeg_that_logs_without_end_is_ended_and_named_with_the_file() {
    let bench = Bench::new();
    let media = bench.probe(&bench.clip("film.mp4"));
    let script = "exec yes '[error] something is wrong here, and it is said again and again' >&2";
    let tools = scripted(&bench, script, Duration::from_secs(60));
    let error = refusal(&tools, &bench, &media);
    assert!(error.contains("film.mp4") && error.contains("64 MiB of messages"), "{error}");
}
