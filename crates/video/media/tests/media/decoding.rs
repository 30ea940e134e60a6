//! The decoder against ffmpeg's own output and ffprobe's own times.

use parallax_frame::Range;
use parallax_media::{Damaged, DecodeOptions, Decoder, Kind, Span};

use crate::clips::{Bench, PICTURES, decoded_times, pictures};

fn assert_decodes_exactly(bench: &Bench, path: &std::path::Path, pix_fmt: &str) {
    let decoder = bench.decoder(path);
    let frames: Vec<_> = decoder.map(Result::unwrap).collect();
    let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.data().to_vec()).collect();
    assert!(bytes == pictures(path, pix_fmt), "pictures of {path:?}");
    let times: Vec<i64> = frames.iter().map(|frame| frame.pts).collect();
    assert_eq!(times, decoded_times(path));
}

#[test]
fn pictures_and_times_are_those_of_ffmpeg() {
    let bench = Bench::new();
    let clip = bench.clip("a.mp4");
    assert_decodes_exactly(&bench, &clip, "yuv420p");
    for name in ["a.mkv", "a.ts", "a.mov"] {
        let copy = bench.remake(name, &clip, "-c copy");
        assert_decodes_exactly(&bench, &copy, "yuv420p");
    }
}

#[test]
fn times_of_a_variable_rate_are_exact() {
    let bench = Bench::new();
    let source = "testsrc2=size=64x48:rate=30,trim=end_frame=24,settb=1/90000,\
                  setpts='N*3000+mod(N*N*791,1700)'";
    let options = "-c:v libx264 -bf 2 -g 6 -vsync passthrough -enc_time_base 1:90000 \
                   -video_track_timescale 90000";
    let clip = bench.make("vfr.mp4", &[source], options);
    let times: Vec<i64> = bench.decoder(&clip).map(|frame| frame.unwrap().pts).collect();
    let expected: Vec<i64> = (0..24).map(|n| n * 3000 + (n * n * 791) % 1700).collect();
    assert_eq!(times, expected);
}

#[test]
fn ten_bits_stay_ten_bits() {
    let bench = Bench::new();
    let options = "-c:v libx264 -pix_fmt yuv422p10le";
    let clip = bench.make("ten.mkv", &[PICTURES], options);
    assert_eq!(bench.probe(&clip).video.format.pixels.bits(), 10);
    assert_decodes_exactly(&bench, &clip, "yuv422p10le");
}

#[test]
fn full_range_is_not_compressed() {
    let bench = Bench::new();
    let clip = bench.make("full.mp4", &[PICTURES], "-c:v libx264 -pix_fmt yuvj420p");
    assert_eq!(bench.probe(&clip).video.format.colour.range, Some(Range::Full));
    assert_decodes_exactly(&bench, &clip, "yuvj420p");
}

#[test]
fn rotated_video_comes_out_upright() {
    let bench = Bench::new();
    let clip = bench.clip("a.mp4");
    let turned = bench.remake("turned.mp4", &clip, "-c copy -metadata:s:v:0 rotate=90");
    let format = bench.probe(&turned).video.format;
    assert_eq!((format.width, format.height), (48, 64));
    assert_decodes_exactly(&bench, &turned, "yuv420p");
}

#[test]
fn frames_that_an_edit_list_hides_do_not_appear() {
    let bench = Bench::new();
    let clip = bench.clip("a.mp4");
    let path = bench.path("trimmed.mp4");
    // A stream copy from the middle of a group of pictures: the start is cut by an edit list.
    let status = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-ss", "0.4", "-i"])
        .arg(&clip)
        .args(["-c", "copy"])
        .arg(&path)
        .status();
    assert!(status.unwrap().success());
    let media = bench.probe(&path);
    let packets = bench.scan(&media);
    assert!(packets.shown() < packets.packets.len() as u64, "no hidden packets to test with");
    assert_decodes_exactly(&bench, &path, "yuv420p");
}

#[test]
fn a_cut_file_is_an_error_that_counts() {
    let bench = Bench::new();
    let clip = bench.make("long.mkv", &[PICTURES], "-c:v libx264 -qp 10 -g 6");
    let whole = bench.scan(&bench.probe(&clip)).shown();
    let bytes = std::fs::read(&clip).unwrap();
    let cut = bench.path("cut.mkv");
    std::fs::write(&cut, &bytes[..bytes.len() * 6 / 10]).unwrap();
    let media = bench.probe(&cut);
    let tools = bench.tools.for_film(Damaged::Refuse);
    let decoder = Decoder::open(&tools, &media, Some(whole), &bench.cancel).unwrap();
    let results: Vec<_> = decoder.collect();
    let error = results.last().unwrap().as_ref().unwrap_err();
    assert_eq!(error.kind(), Kind::Input);
    let good = results.len() - 1;
    let counts = format!("{good} of {whole} frames decoded");
    assert!(good > 0 && error.to_string().contains(&counts), "{error}");
}

#[test]
fn cancelling_ends_the_decoder() {
    let bench = Bench::new();
    let clip = bench.make("long.mp4", &["testsrc2=size=640x360:duration=20"], "-preset ultrafast");
    let mut decoder = bench.decoder(&clip);
    decoder.next().unwrap().unwrap();
    bench.cancel.cancel();
    let mut more = 0;
    let ended = |frame: Result<_, parallax_media::Error>| {
        more += 1;
        frame.err()
    };
    let error = decoder.find_map(ended).unwrap();
    assert_eq!(error.kind(), Kind::Cancelled);
    assert!(more < 100, "{more} more of 500 frames");
}

#[test]
fn a_part_of_a_film_is_its_frames_and_no_others() {
    let bench = Bench::new();
    let clip = bench.clip("a.mp4");
    let open = "-c:v libx264 -bf 2 -b_strategy 0 -g 6 -sc_threshold 0 -pix_fmt yuv420p \
                -x264-params open-gop=1";
    let open = bench.make("open.mkv", &[PICTURES], open);
    let others = ["a.mkv", "a.ts", "a.mov"].map(|name| bench.remake(name, &clip, "-c copy"));
    for path in [vec![clip, open], others.to_vec()].concat() {
        let whole: Vec<_> = bench.decoder(&path).map(Result::unwrap).collect();
        let media = bench.probe(&path);
        let packets = bench.scan(&media);
        let part = |times: std::ops::Range<i64>, longest| {
            let span = Span { times, longest };
            let options = DecodeOptions::default();
            Decoder::open_span(&bench.tools, &media, &packets, span, options, &bench.cancel)
        };
        for (from, to) in [(0, 1), (0, 24), (5, 9), (6, 12), (17, 24), (23, 24)] {
            let end = whole.get(to).map_or(i64::MAX, |frame| frame.pts);
            let found: Result<Vec<_>, _> = part(whole[from].pts..end, None).unwrap().collect();
            assert!(found.unwrap() == whole[from..to], "{path:?}: {from} to {to}");
        }
        let small: Vec<_> = part(whole[8].pts..whole[10].pts, Some(32)).unwrap().collect();
        let format = small[0].as_ref().unwrap().format();
        assert_eq!((small.len(), format.width, format.height), (2, 32, 24));
        let error = part(i64::MAX - 1..i64::MAX, None).unwrap_err();
        assert!(error.to_string().contains("no frame from"), "{error}");
    }
}
