//! Whole conversions of small generated clips with engines that need no weights.

#![allow(clippy::unwrap_used)] // clippy.toml allows it in test functions, not in their helpers

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parallax_conversion::{
    ChunkSettings, Conversion, EngineBackend, Error, MediaAssembler, MediaChunker, Preview,
    PreviewDepth, Progress, Report, Surroundings, Workplace, convert_segment, preview,
};
use parallax_frame::Frame;
use parallax_job::{Bucket, Buckets, Mode, ObjectKey, Scheme, Segment};
use parallax_media::{DecodeOptions, EncodeSettings, Tools, probe, scan};
use parallax_ports::memory::MemoryObjects;
use parallax_ports::{
    Assembler, Chunker, InferenceBackend, Invocation, Invoked, Kind, MediaError, SystemClock,
};
use parallax_stereo::{
    Clip, Copy, Engine, Error as StereoError, Geometry, Layout, Reach, Rendering, Run, Session,
    StereoPair,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const PICTURES: &str = "testsrc2=size=64x48:rate=24000/1001,trim=end_frame=24";
const TONE: &str = "sine=frequency=440:sample_rate=48000:duration=1";
const ENCODE: &str = "-c:v libx264 -bf 2 -g 6 -sc_threshold 0 -pix_fmt yuv420p";

fn make(dir: &TempDir, name: &str, inputs: &[&str], options: &str) -> PathBuf {
    let path = dir.path().join(name);
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y"]);
    for input in inputs {
        command.args(["-f", "lavfi", "-i", input]);
    }
    assert!(command.args(options.split_whitespace()).arg(&path).status().unwrap().success());
    path
}

/// Samples of the first video stream, after `filter`.
fn samples(path: &Path, filter: &str) -> Vec<u8> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i"]).arg(path);
    command.args(["-vf", filter, "-vsync", "passthrough", "-f", "rawvideo", "-"]);
    let output = command.output().unwrap();
    assert!(output.status.success());
    output.stdout
}

fn text(program: &str, before: &[&str], path: &Path, after: &[&str]) -> String {
    let output = Command::new(program).args(before).arg(path).args(after).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn times(path: &Path) -> Vec<i64> {
    let show = ["-v", "error", "-select_streams", "v:0", "-show_entries", "frame=pts"];
    let lines = text("ffprobe", &show, path, &["-of", "csv=p=0"]);
    lines.split_whitespace().map(|line| line.trim_end_matches(',').parse().unwrap()).collect()
}

fn lossless() -> EncodeSettings {
    EncodeSettings { lossless: true, preset: "ultrafast".into(), ..Default::default() }
}

fn convert(
    input: &Path,
    output: &Path,
    layout: Layout,
    engine: &dyn Engine,
    run: &Run,
) -> Result<Report, Error> {
    let tools = Tools::find().unwrap();
    let conversion = Conversion {
        input,
        output,
        layout,
        encode: lossless(),
        decode: DecodeOptions::default(),
        full_chroma: false,
        around: &Surroundings::default(),
    };
    convert_segment(&tools, &conversion, engine, run, &|_| ())
}

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
fn a_damaged_input_is_permanent_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let input = make(&dir, "in.mp4", &[PICTURES], "-c:v libx264 -qp 10 -g 6");
    let mut bytes = std::fs::read(&input).unwrap();
    let start = bytes.windows(4).position(|four| four == b"mdat").unwrap();
    bytes[start + 8000..start + 8400].fill(0x55);
    std::fs::write(&input, bytes).unwrap();
    let output = dir.path().join("out.mp4");
    let error = convert(&input, &output, Layout::FullSbs, &Copy, &Run::default()).unwrap_err();
    assert!(error.is_permanent(), "{error}");
    assert!(error.to_string().contains("frames decoded"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

fn workplace(dir: &TempDir) -> Workplace {
    let bucket = |name: &str| Bucket::Cloud { scheme: Scheme::S3, name: name.to_owned() };
    Workplace {
        tools: Tools::find().unwrap(),
        objects: Arc::new(MemoryObjects::new(Arc::new(SystemClock), Vec::new())),
        buckets: Buckets { input: bucket("input"), output: bucket("output") },
        scratch: dir.path().to_owned(),
    }
}

#[tokio::test]
async fn a_job_goes_through_chunker_backend_and_assembler() {
    let (media, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = make(&media, "a.mp4", &[PICTURES, TONE], &format!("{ENCODE} -c:a aac"));
    let workplace = workplace(&scratch);
    let (objects, buckets) = (workplace.objects.clone(), workplace.buckets.clone());
    let cancel = CancellationToken::new();
    let job: parallax_job::JobId = "job".parse().unwrap();
    let uri = buckets.input.uri(&ObjectKey::Source(job.clone())).unwrap();
    objects.upload(&source, &uri).await.unwrap();

    let settings = ChunkSettings { target: Duration::from_millis(250), most: 9 };
    let chunker = MediaChunker::new(workplace.clone(), settings);
    let cut = chunker.plan(&job, Mode::Sbs, &cancel).await.unwrap();
    assert_eq!(cut.total(), 4);
    cut.publish(&cancel).await.unwrap();
    // A second publication, after a crash, changes nothing.
    chunker.plan(&job, Mode::Sbs, &cancel).await.unwrap().publish(&cancel).await.unwrap();

    let seen = Arc::new(AtomicU64::new(0));
    let most = seen.clone();
    let backend = EngineBackend::new(workplace.clone(), Arc::new(Copy))
        .with_output(Layout::FullSbs, lossless())
        .with_observer(move |_, progress| {
            most.fetch_max(progress.total, Ordering::SeqCst);
        });
    for index in 0..4 {
        let segment = Segment::new(job.clone(), index, 4, Mode::Sbs).unwrap();
        let result = ObjectKey::Result { job_id: job.clone(), index };
        let invocation = Invocation {
            input: buckets.input.uri(&ObjectKey::Segment(segment.clone())).unwrap(),
            output: buckets.output.uri(&result).unwrap(),
            segment,
            attempt: 1,
        };
        assert_eq!(backend.invoke(&invocation, &cancel).await.unwrap(), Invoked::Finished);
    }
    assert_eq!(seen.load(Ordering::SeqCst), 6);

    MediaAssembler::new(workplace.clone()).assemble(&job, 4, &cancel).await.unwrap();
    let out = media.path().join("final.mp4");
    let uri = buckets.output.uri(&ObjectKey::Final(job)).unwrap();
    objects.download(&uri, &out).await.unwrap();
    assert!(samples(&out, "crop=64:48:64:0") == samples(&source, "null"));
    assert_eq!(times(&out), times(&source));
    let sound = |path: &Path| {
        let copy = ["-map", "0:a", "-c", "copy", "-f", "md5", "-"];
        text("ffmpeg", &["-v", "error", "-i"], path, &copy)
    };
    assert_eq!(sound(&out), sound(&source));
    drop(cut);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "scratch is left behind");
}

#[tokio::test]
async fn the_final_file_declares_what_its_results_do() {
    let (media, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = make(&media, "a.mp4", &[PICTURES], ENCODE);
    let workplace = workplace(&scratch);
    let (objects, buckets) = (workplace.objects.clone(), workplace.buckets.clone());
    for (name, layout, expected) in [
        ("sbs", Layout::FullSbs, "side by side"),
        ("tb", Layout::HalfTb, "top and bottom"),
        ("anaglyph", Layout::Anaglyph, ""),
    ] {
        let job: parallax_job::JobId = name.parse().unwrap();
        let result = media.path().join(format!("{name}.mp4"));
        convert(&source, &result, layout, &Copy, &Run::default()).unwrap();
        let key = ObjectKey::Result { job_id: job.clone(), index: 0 };
        objects.upload(&result, &buckets.output.uri(&key).unwrap()).await.unwrap();
        let uri = buckets.input.uri(&ObjectKey::Source(job.clone())).unwrap();
        objects.upload(&source, &uri).await.unwrap();
        let assembler = MediaAssembler::new(workplace.clone());
        assembler.assemble(&job, 1, &CancellationToken::new()).await.unwrap();
        let out = media.path().join("final.mp4");
        objects.download(&buckets.output.uri(&ObjectKey::Final(job)).unwrap(), &out).await.unwrap();
        let bytes = std::fs::read(&out).unwrap();
        let boxes = bytes.windows(4).filter(|four| four == b"st3d").count();
        assert_eq!(boxes, usize::from(!expected.is_empty()), "{name}");
        let show = ["-v", "error", "-show_entries", "stream_side_data=type", "-of", "csv=p=0"];
        assert_eq!(text("ffprobe", &show, &out, &[]).trim(), expected, "{name}");
    }
}

#[tokio::test]
async fn a_cut_falls_where_a_shot_begins_when_it_can() {
    let (media, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // Keyframes every quarter second; another picture from 0.75 s on.
    let shots = "testsrc2=size=64x48:rate=24,trim=end_frame=18[a];\
                 mandelbrot=size=64x48:rate=24,trim=end_frame=18[b];[a][b]concat";
    let one = "testsrc2=size=64x48:rate=24,trim=end_frame=36";
    let workplace = workplace(&scratch);
    let cancel = CancellationToken::new();
    for (name, pictures, frames) in [("shots", shots, 18), ("one", one, 12)] {
        let source = make(&media, &format!("{name}.mp4"), &[pictures], ENCODE);
        let job: parallax_job::JobId = name.parse().unwrap();
        let uri = workplace.buckets.input.uri(&ObjectKey::Source(job.clone())).unwrap();
        workplace.objects.upload(&source, &uri).await.unwrap();
        let settings = ChunkSettings { target: Duration::from_millis(500), most: 99 };
        let chunker = MediaChunker::new(workplace.clone(), settings);
        let cut = chunker.plan(&job, Mode::Sbs, &cancel).await.unwrap();
        cut.publish(&cancel).await.unwrap();
        let first = Segment::new(job, 0, cut.total(), Mode::Sbs).unwrap();
        let uri = workplace.buckets.input.uri(&ObjectKey::Segment(first)).unwrap();
        let segment = media.path().join("segment.mp4");
        workplace.objects.download(&uri, &segment).await.unwrap();
        assert_eq!(times(&segment).len(), frames, "{name}");
    }
}

/// Puts the number of frames that it was led in by into the luma of everything it gives, and of those that
/// it was led out by into the chroma.
#[derive(Debug)]
struct Counting(Reach);

#[derive(Default)]
struct Counter {
    before: u8,
    after: u8,
    frames: Vec<Frame>,
}

impl Engine for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }

    fn start(&self, _clip: &Clip, _run: &Run) -> Result<Box<dyn Session>, StereoError> {
        Ok(Box::new(Counter::default()))
    }

    fn reach(&self, _run: &Run) -> Reach {
        self.0
    }
}

impl Session for Counter {
    fn lead_in(&mut self, _frame: Frame) -> Result<(), StereoError> {
        self.before += 1;
        assert!(self.frames.is_empty());
        Ok(())
    }

    fn push(&mut self, frame: Frame) -> Result<Vec<StereoPair>, StereoError> {
        assert_eq!(self.after, 0);
        self.frames.push(frame);
        Ok(Vec::new())
    }

    fn lead_out(&mut self, _frame: Frame) -> Result<Vec<StereoPair>, StereoError> {
        self.after += 1;
        Ok(Vec::new())
    }

    fn finish(&mut self) -> Result<Vec<StereoPair>, StereoError> {
        let counted = |left: Frame| {
            let mut right = left.clone();
            right.plane_mut(0).fill(self.before);
            right.plane_mut(1).fill(self.after);
            StereoPair { left, right }
        };
        Ok(self.frames.drain(..).map(counted).collect())
    }
}

/// A film in segments of six frames, as good as published.
struct Published {
    media: TempDir,
    _scratch: TempDir,
    workplace: Workplace,
    job: parallax_job::JobId,
    total: u32,
}

impl Published {
    async fn new(pictures: &str) -> Self {
        let (media, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let source = make(&media, "a.mp4", &[pictures], ENCODE);
        let workplace = workplace(&scratch);
        let cancel = CancellationToken::new();
        let job: parallax_job::JobId = "job".parse().unwrap();
        let uri = workplace.buckets.input.uri(&ObjectKey::Source(job.clone())).unwrap();
        workplace.objects.upload(&source, &uri).await.unwrap();
        let settings = ChunkSettings { target: Duration::from_millis(250), most: 9 };
        let chunker = MediaChunker::new(workplace.clone(), settings);
        let cut = chunker.plan(&job, Mode::Sbs, &cancel).await.unwrap();
        cut.publish(&cancel).await.unwrap();
        Self { media, _scratch: scratch, workplace, job, total: cut.total() }
    }

    fn segment(&self, index: u32) -> Segment {
        Segment::new(self.job.clone(), index, self.total, Mode::Sbs).unwrap()
    }

    fn address(&self, index: u32) -> parallax_job::Uri {
        self.workplace.buckets.input.uri(&ObjectKey::Segment(self.segment(index))).unwrap()
    }

    /// Frames that a segment was led in and out by.
    async fn led(&self, index: u32, reach: Reach) -> (u8, u8) {
        let backend = EngineBackend::new(self.workplace.clone(), Arc::new(Counting(reach)))
            .with_output(Layout::RightOnly, lossless());
        let result = ObjectKey::Result { job_id: self.job.clone(), index };
        let output = self.workplace.buckets.output.uri(&result).unwrap();
        let (input, segment) = (self.address(index), self.segment(index));
        let invocation = Invocation { input, output: output.clone(), segment, attempt: 1 };
        let cancel = CancellationToken::new();
        assert_eq!(backend.invoke(&invocation, &cancel).await.unwrap(), Invoked::Finished);
        let path = self.media.path().join("result.mp4");
        self.workplace.objects.download(&output, &path).await.unwrap();
        assert_eq!(times(&path).len(), 6, "segment {index}");
        let value = |plane| samples(&path, &format!("extractplanes={plane}"))[0];
        (value("y"), value("u"))
    }
}

#[tokio::test]
async fn a_segment_is_led_in_by_as_many_before_it_as_the_engine_looks_back_over() {
    let film = Published::new("testsrc2=size=64x48:rate=24,trim=end_frame=24").await;
    assert_eq!(film.total, 4, "of six frames each");
    let reach = Reach { back: Duration::from_millis(375), ..Reach::default() };
    // In any order: a segment depends on the film before it and not on its results.
    assert_eq!(film.led(3, reach).await, (9, 0), "three eighths of a second");
    assert_eq!(film.led(0, reach).await, (0, 0));
    assert_eq!(film.led(1, reach).await, (6, 0), "there is no more");
    film.workplace.objects.delete(&film.address(1)).await.unwrap();
    assert_eq!(film.led(2, reach).await.0, 0, "a film that lost a piece is converted all the same");
}

#[tokio::test]
async fn a_shot_is_led_in_from_its_beginning_and_no_farther() {
    // A shot begins with the fourth frame of the third segment, another with the fifth segment.
    let shots = "testsrc2=size=64x48:rate=24,trim=end_frame=15[a];\
                 mandelbrot=size=64x48:rate=24,trim=end_frame=9[b];\
                 testsrc2=size=64x48:rate=24,trim=end_frame=12[c];[a][b][c]concat=n=3";
    let film = Published::new(shots).await;
    assert_eq!(film.total, 6);
    let reach = Reach { back: Duration::from_secs(30), within_shot: true, ahead: 0 };
    for (index, before) in [(0, 0), (1, 6), (2, 12), (3, 3), (4, 0), (5, 6)] {
        assert_eq!(film.led(index, reach).await, (before, 0), "segment {index}");
    }
    let short = Reach { back: Duration::from_millis(375), ..reach };
    assert_eq!(film.led(2, short).await, (9, 0), "it began long ago");
}

#[tokio::test(start_paused = true)]
async fn a_segment_is_led_out_by_the_first_frames_of_the_next() {
    let film = Published::new("testsrc2=size=64x48:rate=24,trim=end_frame=18").await;
    let ahead = |ahead| Reach { ahead, ..Reach::default() };
    assert_eq!(film.led(0, ahead(4)).await, (0, 4));
    assert_eq!(film.led(1, ahead(9)).await, (0, 6), "no farther than the next");
    assert_eq!(film.led(2, ahead(4)).await, (0, 0), "the film is over");
    film.workplace.objects.delete(&film.address(1)).await.unwrap();
    assert_eq!(film.led(0, ahead(4)).await, (0, 0), "it is not waited for without end");
}

#[tokio::test]
async fn a_source_that_is_no_video_fails_the_job_and_a_missing_one_does_not() {
    let scratch = tempfile::tempdir().unwrap();
    let workplace = workplace(&scratch);
    let job: parallax_job::JobId = "job".parse().unwrap();
    let chunker = MediaChunker::new(workplace.clone(), ChunkSettings::default());
    let cancel = CancellationToken::new();
    let missing = chunker.plan(&job, Mode::Sbs, &cancel).await.err().unwrap();
    assert!(matches!(&missing, MediaError::Port(error) if error.kind() == Kind::NotFound));
    let uri = workplace.buckets.input.uri(&ObjectKey::Source(job.clone())).unwrap();
    workplace.objects.write(&uri, b"#EXTM3U\nhttp://127.0.0.1/\n").await.unwrap();
    let refused = chunker.plan(&job, Mode::Sbs, &cancel).await.err().unwrap();
    assert!(matches!(&refused, MediaError::Input(_)), "{refused}");
    cancel.cancel();
    let cancelled = chunker.plan(&job, Mode::Sbs, &cancel).await.err().unwrap();
    assert!(matches!(&cancelled, MediaError::Port(error) if error.kind() == Kind::Cancelled));
}

/// A film that says that it has Dolby Vision of `profile` on a base layer of `compatibility`.
fn dolby_vision(dir: &TempDir, profile: u8, compatibility: u8) -> PathBuf {
    let film = make(dir, &format!("vision-{profile}.mp4"), &[PICTURES], ENCODE);
    let mut bytes = std::fs::read(&film).unwrap();
    let mut record = b"\0\0\0\x20dvcC\x01\0".to_vec();
    // Profile, level 1, metadata and base layer present.
    record.extend([profile << 1, 0b0000_1101, compatibility << 4]);
    record.resize(32, 0);
    // The header is at the file's end, so nothing but the boxes around it moves.
    let (mut at, mut end) = (0, 0);
    for kind in [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"] {
        at += bytes[at..].windows(4).position(|four| four == kind).unwrap();
        let size = u32::from_be_bytes(bytes[at - 4..at].try_into().unwrap());
        end = at - 4 + size as usize;
        bytes[at - 4..at].copy_from_slice(&(size + 32).to_be_bytes());
    }
    bytes.splice(end..end, record);
    std::fs::write(&film, bytes).unwrap();
    film
}

#[tokio::test]
async fn what_is_wrong_without_dynamic_hdr_is_refused_on_every_way() {
    let (media, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let workplace = workplace(&scratch);
    let cancel = CancellationToken::new();
    let chunker = MediaChunker::new(workplace.clone(), ChunkSettings::default());
    let backend = EngineBackend::new(workplace.clone(), Arc::new(Copy));
    for (profile, compatibility, refused) in [(5, 0, true), (8, 1, false)] {
        let film = dolby_vision(&media, profile, compatibility);
        let job: parallax_job::JobId = format!("job-{profile}").parse().unwrap();
        let segment = Segment::new(job.clone(), 0, 1, Mode::Sbs).unwrap();
        let source = workplace.buckets.input.uri(&ObjectKey::Source(job.clone())).unwrap();
        let input = workplace.buckets.input.uri(&ObjectKey::Segment(segment.clone())).unwrap();
        for uri in [&source, &input] {
            workplace.objects.upload(&film, uri).await.unwrap();
        }
        let result = ObjectKey::Result { job_id: job.clone(), index: 0 };
        let output = workplace.buckets.output.uri(&result).unwrap();
        let invocation = Invocation { input, output, segment, attempt: 1 };
        let cut = chunker.plan(&job, Mode::Sbs, &cancel).await;
        let made = backend.invoke(&invocation, &cancel).await;
        if refused {
            let error = cut.err().unwrap();
            assert!(
                matches!(&error, MediaError::Input(why) if why.contains("profile 5")),
                "{error}"
            );
            let error = made.unwrap_err();
            assert!(error.kind() == Kind::Rejected, "{error}");
            assert!(error.to_string().contains("allowed are Dolby Vision on HDR10"), "{error}");
        } else {
            assert_eq!(cut.unwrap().total(), 1);
            assert_eq!(made.unwrap(), Invoked::Finished);
        }
    }
}

#[test]
fn a_preview_of_high_dynamic_range_is_shown_as_an_ordinary_screen_can() {
    let dir = tempfile::tempdir().unwrap();
    let (tools, cancel) = (Tools::find().unwrap(), CancellationToken::new());
    // 203 cd/m², the reference white, in 10 bits of PQ and of HLG.
    for (transfer, luma) in [("smpte2084", 573), ("arib-std-b67", 721), ("bt709", 573)] {
        let grey = format!(
            "nullsrc=size=64x48:rate=24,trim=end_frame=4,format=yuv420p10,\
             geq=lum={luma}:cb=512:cr=512"
        );
        let options = format!(
            "-c:v libx264 -qp 1 -preset ultrafast -color_trc {transfer} -color_primaries bt2020 \
             -colorspace bt2020nc -color_range tv"
        );
        let film = make(&dir, &format!("{transfer}.mp4"), &[&grey], &options);
        let media = probe(&tools, &film, &cancel).unwrap();
        let packets = scan(&tools, &media, &cancel).unwrap();
        let how = Preview {
            depth: PreviewDepth::Draft,
            geometry: Geometry::default(),
            rendering: Rendering::default(),
            tile_width: 32,
        };
        let sheet = preview(&tools, (&media, &packets), &[2], how, &cancel).unwrap();
        // Reference white is a little over half of the screen's light; unmapped PQ is 148.
        let want: u8 = if transfer == "bt709" { 148 } else { 191 };
        let left = &sheet.rgb[3 * 16..3 * 17];
        assert!(left.iter().all(|v| v.abs_diff(want) <= 2), "{transfer}: {left:?}, not {want}");
    }
}
