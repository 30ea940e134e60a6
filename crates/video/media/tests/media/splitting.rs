//! Segments: the source's frames, all of them, at their times, and nothing else.

use std::path::Path;
use std::time::Duration;

use parallax_media::{Kind, Split, cut_points, plan_segments, split};

use crate::clips::{Bench, PICTURES, decoded_times, pictures};

/// Splits into segments of at least a quarter second, and checks them against the source.
fn split_exactly(bench: &Bench, source: &Path, pix_fmt: &str) -> Split {
    let media = bench.probe(source);
    let packets = bench.scan(&media);
    let plan = plan_segments(&packets, media.video.time_base, Duration::from_millis(250), 99);
    let out = tempfile::tempdir_in(bench.path("")).unwrap();
    let split = split(&bench.tools, &media, &packets, &plan, out.path(), &bench.cancel).unwrap();

    let mut samples = Vec::new();
    let mut times = Vec::new();
    for segment in &split.segments {
        samples.extend(pictures(&segment.path, pix_fmt));
        let own = decoded_times(&segment.path);
        assert_eq!((own[0], own.len() as u64), (0, segment.frames));
        let num = i64::from(media.video.time_base.num);
        times.extend(own.iter().map(|time| time + segment.start * num));
    }
    let expected: Vec<i64> = bench.decoder(source).map(|frame| frame.unwrap().pts).collect();
    let num = i64::from(media.video.time_base.num);
    assert_eq!(times, expected.iter().map(|time| time * num).collect::<Vec<_>>());
    assert!(samples == pictures(source, pix_fmt), "pictures of {source:?}");
    split
}

#[test]
fn copied_segments_hold_the_source_in_every_container() {
    let bench = Bench::new();
    let clip = bench.clip("a.mp4");
    let others = ["a.mkv", "a.ts", "a.mov", "a.flv"].map(|n| bench.remake(n, &clip, "-c copy"));
    for source in [vec![clip], others.to_vec()].concat() {
        let split = split_exactly(&bench, &source, "yuv420p");
        assert_eq!(split.recoded, None, "{source:?}");
        assert_eq!(split.segments.len(), 4, "{source:?}");
    }
}

#[test]
fn an_open_group_of_pictures_is_never_cut() {
    let bench = Bench::new();
    let options = "-c:v libx264 -bf 2 -b_strategy 0 -g 6 -sc_threshold 0 -pix_fmt yuv420p \
                   -x264-params open-gop=1";
    let clip = bench.make("open.mp4", &[PICTURES], options);
    let packets = bench.scan(&bench.probe(&clip));
    let marked = packets.packets.iter().filter(|packet| packet.key).count();
    assert!(marked > 2, "the clip has {marked} keyframes");
    assert!(cut_points(&packets).len() < marked, "no open group to test with");
    assert_eq!(split_exactly(&bench, &clip, "yuv420p").recoded, None);
}

#[test]
fn a_variable_rate_survives() {
    let bench = Bench::new();
    let source = "testsrc2=size=64x48:rate=30,trim=end_frame=40,settb=1/90000,\
                  setpts='N*3000+mod(N*N*791,1700)'";
    let options = "-c:v libx264 -bf 2 -g 6 -vsync passthrough -enc_time_base 1:90000 \
                   -video_track_timescale 90000 -pix_fmt yuv420p";
    let clip = bench.make("vfr.mp4", &[source], options);
    assert_eq!(split_exactly(&bench, &clip, "yuv420p").recoded, None);
}

#[test]
fn a_stream_with_one_keyframe_is_one_copied_segment() {
    let bench = Bench::new();
    let clip = bench.make("long.ts", &[PICTURES], "-c:v libx264 -bf 2 -g 250 -pix_fmt yuv420p");
    let split = split_exactly(&bench, &clip, "yuv420p");
    assert_eq!((split.recoded, split.segments.len()), (None, 1));
}

#[test]
fn rotation_stays_with_the_segments() {
    let bench = Bench::new();
    let clip = bench.clip("a.mp4");
    let turned = bench.remake("turned.mp4", &clip, "-c copy -metadata:s:v:0 rotate=90");
    let split = split_exactly(&bench, &turned, "yuv420p");
    assert_eq!(split.recoded, None);
}

#[test]
fn frames_that_an_edit_list_hides_stay_hidden() {
    let bench = Bench::new();
    let clip = bench.clip("a.mp4");
    let path = bench.path("trimmed.mp4");
    let mut command = std::process::Command::new("ffmpeg");
    command.args(["-v", "error", "-ss", "0.4", "-i"]).arg(&clip).args(["-c", "copy"]).arg(&path);
    assert!(command.status().unwrap().success());
    let shown = bench.scan(&bench.probe(&path)).shown();
    let split = split_exactly(&bench, &path, "yuv420p");
    assert_eq!(split.recoded, None);
    assert_eq!(split.segments.iter().map(|s| s.frames).sum::<u64>(), shown);
}

#[test]
fn what_cannot_be_copied_is_encoded_without_loss() {
    let bench = Bench::new();
    let avi = bench.make("a.avi", &[PICTURES], "-c:v mpeg4 -bf 2 -g 6 -pix_fmt yuv420p");
    let split = split_exactly(&bench, &avi, "yuv420p");
    assert!(split.recoded.unwrap().contains("presentation times"));
    let ffv1 = bench.make("a.mkv", &[PICTURES], "-c:v ffv1 -pix_fmt yuv422p10le");
    let split = split_exactly(&bench, &ffv1, "yuv422p10le");
    assert!(split.recoded.is_some());
    let deep = bench.make("b.mkv", &[PICTURES], "-c:v ffv1 -pix_fmt yuv420p12le");
    split_exactly(&bench, &deep, "yuv420p12le");
}

#[test]
fn an_unwritable_folder_is_not_the_sources_fault() {
    let bench = Bench::new();
    let clip = bench.clip("a.mp4");
    let media = bench.probe(&clip);
    let packets = bench.scan(&media);
    let plan = plan_segments(&packets, media.video.time_base, Duration::from_secs(1), 9);
    let nowhere = bench.path("nowhere");
    let error = split(&bench.tools, &media, &packets, &plan, &nowhere, &bench.cancel).unwrap_err();
    assert_ne!(error.kind(), Kind::Input, "{error}");
}
