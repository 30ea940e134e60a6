//! Segments that are led in by those before them, and led out by the next.

use std::sync::Arc;
use std::time::Duration;

use parallax_conversion::{ChunkSettings, EngineBackend, MediaChunker, Workplace};
use parallax_frame::Frame;
use parallax_job::{Mode, ObjectKey, Segment};
use parallax_ports::{Chunker, InferenceBackend, Invocation, Invoked};
use parallax_stereo::{
    Capabilities, Clip, Engine, Error as StereoError, Layout, Reach, Run, Session, StereoPair,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::clips::{ENCODE, lossless, make, samples, times, workplace};

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

impl Capabilities for Counting {
    fn reach(&self, _run: &Run) -> Reach {
        self.0
    }
}

impl Engine for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }

    fn start(&self, _clip: &Clip, _run: &Run) -> Result<Box<dyn Session>, StereoError> {
        Ok(Box::new(Counter::default()))
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
        let settings = ChunkSettings {
            target: Duration::from_millis(250),
            most: 9,
            ..ChunkSettings::default()
        };
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
