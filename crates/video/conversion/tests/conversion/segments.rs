//! One segment through an engine.

use parallax_conversion::{Conversion, Progress, Surroundings, convert_segment};
use parallax_frame::Frame;
use parallax_media::{DamageKind, Damaged, DecodeOptions, EncodeSettings, Tools};
use parallax_stereo::{
    Capabilities, Clip, Copy, Engine, Error as StereoError, Layout, Run, Session, StereoPair,
};

use crate::clips::{ENCODE, PICTURES, convert, make, samples, text, times};

#[test]
fn both_eyes_of_the_copy_engine_are_the_source_at_its_times() {
    let dir = tempfile::tempdir().unwrap();
    let vfr = "testsrc2=size=64x48:rate=30,trim=end_frame=24,settb=1/90000,\
               setpts='N*3000+mod(N*N*791,1700)'";
    let options =
        format!("{ENCODE} -vsync passthrough -enc_time_base 1:90000 -video_track_timescale 90000");
    let input = make(&dir, "in.mp4", &[vfr], &options);
    let output = dir.path().join("out.mp4");
    let report = convert(&input, &output, Layout::FullSbs, &Copy, &Run::default()).unwrap();
    assert_eq!((report.frames, report.format.width), (24, 128));
    let source = samples(&input, "null");
    assert!(samples(&output, "crop=64:48:0:0") == source);
    assert!(samples(&output, "crop=64:48:64:0") == source);
    assert_eq!(times(&output), times(&input));
}

#[test]
fn half_width_shows_at_the_sources_shape() {
    let dir = tempfile::tempdir().unwrap();
    let input = make(&dir, "in.mp4", &[PICTURES], &format!("{ENCODE} -vf setsar=4/3"));
    let output = dir.path().join("out.mp4");
    let report = convert(&input, &output, Layout::HalfSbs, &Copy, &Run::default()).unwrap();
    assert_eq!((report.format.width, report.format.height), (64, 48));
    let show = ["-v", "error", "-show_entries", "stream=sample_aspect_ratio", "-of", "csv=p=0"];
    assert_eq!(text("ffprobe", &show, &output, &[]).trim(), "8:3");
}

#[test]
fn odd_sizes_and_anaglyphs_convert() {
    let dir = tempfile::tempdir().unwrap();
    let source = "testsrc2=size=65x49:rate=24,trim=end_frame=6,format=yuv444p";
    let input = make(&dir, "odd.mkv", &[source], "-c:v ffv1 -pix_fmt yuv420p");
    for layout in Layout::ALL.into_iter().filter(|layout| *layout != Layout::Rgbd) {
        let output = dir.path().join("out.mp4");
        let report = convert(&input, &output, layout, &Copy, &Run::default()).unwrap();
        assert_eq!((report.frames, report.format.width % 2), (6, 0), "{layout}");
    }
}

/// Fails, gives too little, or answers late, as told.
#[derive(Debug)]
enum Faulty {
    Fails,
    Swallows,
    Lags,
}

impl Capabilities for Faulty {}

impl Engine for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }

    fn start(&self, _clip: &Clip, _run: &Run) -> Result<Box<dyn Session>, StereoError> {
        let kind = match self {
            Faulty::Fails => Faulty::Fails,
            Faulty::Swallows => Faulty::Swallows,
            Faulty::Lags => Faulty::Lags,
        };
        Ok(Box::new(FaultySession { kind, held: Vec::new(), seen: 0 }))
    }
}

struct FaultySession {
    kind: Faulty,
    held: Vec<StereoPair>,
    seen: u32,
}

impl Session for FaultySession {
    fn push(&mut self, frame: Frame) -> Result<Vec<StereoPair>, StereoError> {
        self.seen += 1;
        let pair = StereoPair { left: frame.clone(), right: frame };
        match self.kind {
            Faulty::Fails if self.seen == 5 => Err(StereoError::Failed("out of memory".into())),
            Faulty::Swallows if self.seen == 5 => Ok(Vec::new()),
            Faulty::Lags => {
                self.held.push(pair);
                Ok(Vec::new())
            }
            _ => Ok(vec![pair]),
        }
    }

    fn finish(&mut self) -> Result<Vec<StereoPair>, StereoError> {
        Ok(std::mem::take(&mut self.held))
    }
}

#[test]
fn a_failing_engine_is_told_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let input = make(&dir, "in.mp4", &[PICTURES], ENCODE);
    for (engine, says) in [(Faulty::Fails, "out of memory"), (Faulty::Swallows, "for no frame")] {
        let output = dir.path().join("out.mp4");
        let error =
            convert(&input, &output, Layout::FullSbs, &engine, &Run::default()).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert!(!error.is_permanent() && !error.is_cancelled());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

#[test]
fn an_engine_may_hold_everything_until_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let input = make(&dir, "in.mp4", &[PICTURES], ENCODE);
    let output = dir.path().join("out.mp4");
    let report = convert(&input, &output, Layout::FullSbs, &Faulty::Lags, &Run::default()).unwrap();
    assert_eq!(report.frames, 24);
    assert_eq!(times(&output), times(&input));
}

#[test]
fn cancelling_ends_soon_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let input =
        make(&dir, "in.mp4", &["testsrc2=size=640x360:duration=30"], "-preset ultrafast -g 30");
    let output = dir.path().join("out.mp4");
    let run = Run::default();
    let tools = Tools::find().unwrap();
    let conversion = Conversion {
        input: &input,
        output: &output,
        layout: Layout::FullSbs,
        encode: EncodeSettings::default(),
        decode: DecodeOptions::default(),
        full_chroma: false,
        around: &Surroundings::default(),
    };
    let converted = std::cell::Cell::new(0);
    let stop = |progress: Progress| {
        converted.set(progress.frames);
        if progress.frames > 0 {
            run.cancel.cancel();
        }
    };
    let error = convert_segment(&tools, &conversion, &Copy, &run, &stop).unwrap_err();
    assert!(error.is_cancelled(), "{error}");
    let converted = converted.get();
    assert!((1..10).contains(&converted), "{converted} of 750 frames, though told at the first");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_damaged_input_that_is_refused_is_permanent_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let input = make(&dir, "in.mp4", &[PICTURES], "-c:v libx264 -qp 10 -g 6");
    let mut bytes = std::fs::read(&input).unwrap();
    let start = bytes.windows(4).position(|four| four == b"mdat").unwrap();
    bytes[start + 8000..start + 8400].fill(0x55);
    std::fs::write(&input, bytes).unwrap();
    let output = dir.path().join("out.mp4");
    let around = Surroundings::default();
    let conversion = Conversion {
        input: &input,
        output: &output,
        layout: Layout::FullSbs,
        encode: EncodeSettings::default(),
        decode: DecodeOptions::default(),
        full_chroma: false,
        around: &around,
    };
    let tools = Tools::find().unwrap().for_film(Damaged::Refuse);
    let run = Run::default();
    let error = convert_segment(&tools, &conversion, &Copy, &run, &|_| ()).unwrap_err();
    assert!(error.is_permanent(), "{error}");
    assert!(error.to_string().contains("frames decoded"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    let report = convert(&input, &output, Layout::FullSbs, &Copy, &run).unwrap();
    assert_eq!(report.frames as usize, times(&input).len());
    assert!(report.damage.count(DamageKind::Picture) > 0, "{:?}", report.damage);
}
