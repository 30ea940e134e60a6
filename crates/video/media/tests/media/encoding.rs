//! The encoder: exact times, formats, tags, refusals, and what is left after a failure.

use std::path::Path;
use std::sync::Arc;

use parallax_frame::{Chroma, Colour, Frame, FrameRate, PixelFormat, Range, TimeBase, VideoFormat};
use parallax_media::{Codec, EncodeSettings, Encoder, Kind, Result, Timing};

use crate::clips::{Bench, decoded_times, pictures};

fn format(width: u32, height: u32, pixels: PixelFormat) -> Arc<VideoFormat> {
    Arc::new(VideoFormat { width, height, pixels, colour: Colour::default() })
}

fn timing(num: u32, den: u32) -> Timing {
    Timing { time_base: TimeBase { num, den }, rate: FrameRate { num: 24000, den: 1001 } }
}

/// A picture that differs from frame to frame and sample to sample.
fn picture(format: &Arc<VideoFormat>, pts: i64, seed: usize) -> Frame {
    let mut frame = Frame::zeroed(Arc::clone(format), pts);
    for plane in 0..format.pixels.chroma().planes() {
        let max = f32::from(format.pixels.max_value());
        let count = frame.plane(plane).len() / format.pixels.sample_bytes();
        let values: Vec<f32> =
            (0..count).map(|i| max * (((i + seed * 5) % 48) as f32 + 90.0) / 255.0).collect();
        frame.set_plane_f32(plane, &values);
    }
    frame
}

fn encode(
    bench: &Bench,
    path: &Path,
    format: &Arc<VideoFormat>,
    timing: Timing,
    settings: &EncodeSettings,
    times: &[i64],
) -> Result<Vec<u8>> {
    let mut encoder = Encoder::create(&bench.tools, path, format, timing, settings, &bench.cancel)?;
    let mut samples = Vec::new();
    for (seed, &pts) in times.iter().enumerate() {
        let frame = picture(format, pts, seed);
        encoder.write(&frame)?;
        samples.extend_from_slice(frame.data());
    }
    encoder.finish()?;
    Ok(samples)
}

#[test]
fn times_come_back_exactly_in_common_and_odd_units() {
    let bench = Bench::new();
    let format = format(32, 16, PixelFormat::YUV420P);
    let settings = EncodeSettings::default();
    for (num, den) in [(1, 24000), (1001, 30000), (1, 90000), (1, 1000), (1, 12288), (1, 1_000_000)]
    {
        let step = i64::from(den / num / 24).max(1);
        let times: Vec<i64> = (0..12).map(|n| n * step + n * n % step.min(5)).collect();
        let path = bench.path("out.mp4");
        encode(&bench, &path, &format, timing(num, den), &settings, &times).unwrap();
        let expected: Vec<i64> = times.iter().map(|time| time * i64::from(num)).collect();
        assert_eq!(decoded_times(&path), expected, "{num}/{den}");
        assert_eq!(bench.probe(&path).video.time_base, TimeBase { num: 1, den });
    }
}

#[test]
fn a_rate_that_ffmpeg_does_not_believe_loses_no_frame() {
    let bench = Bench::new();
    let format = format(32, 16, PixelFormat::YUV420P);
    for (den, rate, step) in [(1000, 1000, 1), (90_000, 1000, 90), (90_000, 1200, 75)] {
        let timing = Timing { rate: FrameRate { num: rate, den: 1 }, ..timing(1, den) };
        let times: Vec<i64> = (0..20).map(|n| n * step).collect();
        let path = bench.path("fast.mp4");
        encode(&bench, &path, &format, timing, &EncodeSettings::default(), &times).unwrap();
        let packets = bench.scan(&bench.probe(&path));
        assert_eq!(packets.frame_times(), Some(times), "{rate} in 1/{den}");
        assert_eq!(packets.end(), Some(20 * step), "{rate} in 1/{den}");
    }
}

#[test]
fn every_planar_format_arrives_sample_for_sample() {
    let bench = Bench::new();
    let lossless = EncodeSettings { crf: 0, preset: "ultrafast".into(), ..Default::default() };
    for chroma in [Chroma::Gray, Chroma::Yuv420, Chroma::Yuv422, Chroma::Yuv444] {
        let pixels = PixelFormat::new(chroma, 8).unwrap();
        let format = format(32, 16, pixels);
        let path = bench.path("out.mp4");
        let samples =
            encode(&bench, &path, &format, timing(1, 24000), &lossless, &[0, 1001, 2002]).unwrap();
        if chroma == Chroma::Gray {
            // Carried as 4:2:0 without colour.
            let back = pictures(&path, "yuv420p");
            for (back, sent) in back.chunks(32 * 16 * 3 / 2).zip(samples.chunks(32 * 16)) {
                assert!(back.starts_with(sent));
                assert!(back[32 * 16..].iter().all(|&sample| sample == 128));
            }
            continue;
        }
        assert!(pictures(&path, &pixels.ffmpeg_name()) == samples, "{chroma:?}");
    }
}

#[test]
fn deep_formats_arrive_within_quantisation() {
    let bench = Bench::new();
    let fine = EncodeSettings { crf: 1, preset: "ultrafast".into(), ..Default::default() };
    let finer = EncodeSettings { codec: Codec::X265, ..fine.clone() };
    for (chroma, bits, settings) in [
        (Chroma::Yuv420, 10, &fine),
        (Chroma::Yuv422, 10, &fine),
        (Chroma::Yuv444, 10, &fine),
        (Chroma::Yuv420, 12, &finer),
        (Chroma::Yuv420, 10, &finer),
    ] {
        let pixels = PixelFormat::new(chroma, bits).unwrap();
        let format = format(64, 64, pixels);
        let path = bench.path("out.mp4");
        let sent = encode(&bench, &path, &format, timing(1, 24000), settings, &[0, 1001]).unwrap();
        let back = pictures(&path, &pixels.ffmpeg_name());
        assert_eq!(sent.len(), back.len(), "{pixels:?}");
        let sample =
            |bytes: &[u8], i: usize| i32::from(u16::from_le_bytes([bytes[i], bytes[i + 1]]));
        let worst = (0..sent.len()).step_by(2).map(|i| (sample(&sent, i) - sample(&back, i)).abs());
        let limit = i32::from(pixels.max_value()) / 20;
        assert!(worst.max().unwrap() < limit, "{pixels:?}");
        assert_eq!(bench.probe(&path).video.format.pixels, pixels);
    }
}

#[test]
fn tags_are_written() {
    let bench = Bench::new();
    let colour = Colour {
        range: Some(Range::Limited),
        matrix: Some("bt2020nc".into()),
        primaries: Some("bt2020".into()),
        transfer: Some("smpte2084".into()),
    };
    let pixels = PixelFormat::new(Chroma::Yuv420, 10).unwrap();
    let format = Arc::new(VideoFormat { width: 64, height: 32, pixels, colour: colour.clone() });
    for codec in [Codec::X264, Codec::X265] {
        let settings = EncodeSettings { codec, sample_aspect: (2, 1), ..Default::default() };
        let path = bench.path("tags.mp4");
        encode(&bench, &path, &format, timing(1, 24000), &settings, &[0, 1001]).unwrap();
        let video = bench.probe(&path).video;
        assert_eq!(video.format.colour, colour);
        assert_eq!(video.sample_aspect, (2, 1));
    }
}

#[test]
fn the_same_frames_give_the_same_file() {
    let bench = Bench::new();
    let format = format(64, 48, PixelFormat::YUV420P);
    let times: Vec<i64> = (0..30).map(|n| n * 1001).collect();
    let file = |name: &str| {
        let path = bench.path(name);
        encode(&bench, &path, &format, timing(1, 24000), &Default::default(), &times).unwrap();
        std::fs::read(path).unwrap()
    };
    assert!(file("one.mp4") == file("two.mp4"));
}

#[test]
fn odd_sizes_are_refused_by_name() {
    let bench = Bench::new();
    let path = bench.path("odd.mp4");
    let settings = EncodeSettings::default();
    let odd = format(33, 16, PixelFormat::YUV420P);
    let error = encode(&bench, &path, &odd, timing(1, 24), &settings, &[0]).unwrap_err();
    assert_eq!(error.kind(), Kind::Input);
    assert!(error.to_string().contains("33x16 yuv420p"), "{error}");
    let fine = format(33, 17, PixelFormat::YUV444P);
    encode(&bench, &path, &fine, timing(1, 24), &settings, &[0]).unwrap();
}

#[test]
fn times_that_do_not_ascend_are_refused() {
    let bench = Bench::new();
    let format = format(32, 16, PixelFormat::YUV420P);
    for times in [[0, 0], [5, 4], [-1, 0]] {
        let path = bench.path("times.mp4");
        let error =
            encode(&bench, &path, &format, timing(1, 24), &Default::default(), &times).unwrap_err();
        assert_eq!(error.kind(), Kind::Input);
    }
}

#[test]
fn a_dropped_encoder_leaves_nothing_behind() {
    let bench = Bench::new();
    let path = bench.path("never.mp4");
    let format = format(32, 16, PixelFormat::YUV420P);
    let settings = EncodeSettings::default();
    let timing = timing(1, 24);
    let mut encoder =
        Encoder::create(&bench.tools, &path, &format, timing, &settings, &bench.cancel).unwrap();
    encoder.write(&picture(&format, 0, 0)).unwrap();
    let listing = || std::fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(listing(), 1);
    drop(encoder);
    assert_eq!(listing(), 0);
}

#[test]
fn a_folder_that_does_not_exist_is_an_io_error() {
    let bench = Bench::new();
    let path = bench.path("nowhere/out.mp4");
    let format = format(32, 16, PixelFormat::YUV420P);
    let error =
        encode(&bench, &path, &format, timing(1, 24), &Default::default(), &[0]).unwrap_err();
    assert_eq!(error.kind(), Kind::Io);
}

#[test]
fn an_encoder_that_ends_early_is_quoted() {
    let bench = Bench::new();
    let path = bench.path("preset.mp4");
    let format = format(32, 16, PixelFormat::YUV420P);
    let settings = EncodeSettings { preset: "nonsense".into(), ..Default::default() };
    let error = encode(&bench, &path, &format, timing(1, 24), &settings, &[0]).unwrap_err();
    assert!(error.to_string().contains("nonsense"), "{error}");
}
