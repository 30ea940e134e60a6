//! Chunker, backend and assembler of one job.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parallax_conformance::{backend, media};
use parallax_conversion::{ChunkSettings, EngineBackend, MediaAssembler, MediaChunker, Workplace};
use parallax_job::{JobId, Mode, ObjectKey, Segment};
use parallax_ports::{Assembler, Chunker, InferenceBackend, Invocation, Invoked};
use parallax_stereo::{Copy, Layout, Run};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::clips::{
    ENCODE, PICTURES, TONE, convert, lossless, make, samples, text, times, workplace,
};

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

    let settings =
        ChunkSettings { target: Duration::from_millis(250), most: 9, ..ChunkSettings::default() };
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

/// A job's source in its place: a second of film, with a keyframe every quarter.
async fn with_source(workplace: &Workplace, media: &TempDir) -> JobId {
    let source = make(media, "a.mp4", &[PICTURES], ENCODE);
    let job: JobId = "job".parse().unwrap();
    let uri = workplace.buckets.input.uri(&ObjectKey::Source(job.clone())).unwrap();
    workplace.objects.upload(&source, &uri).await.unwrap();
    job
}

#[tokio::test]
async fn media_steps_on_real_media_keep_their_promises() {
    let (dir, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let workplace = workplace(&scratch);
    let job = with_source(&workplace, &dir).await;
    let settings =
        ChunkSettings { target: Duration::from_millis(250), most: 9, ..ChunkSettings::default() };
    let setup = media::Setup {
        chunker: Arc::new(MediaChunker::new(workplace.clone(), settings)),
        assembler: Arc::new(MediaAssembler::new(workplace.clone())),
        objects: workplace.objects.clone(),
        buckets: workplace.buckets.clone(),
        job,
    };
    media::all(&setup).await;
}

#[tokio::test]
async fn an_engine_in_the_process_keeps_the_promises_of_a_backend() {
    let (dir, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let workplace = workplace(&scratch);
    let job = with_source(&workplace, &dir).await;
    let buckets = &workplace.buckets;
    let input = buckets.input.uri(&ObjectKey::Source(job.clone())).unwrap();
    let segment = Segment::new(job.clone(), 0, 2, Mode::Sbs).unwrap();
    let output = buckets.output.uri(&ObjectKey::Result { job_id: job, index: 0 }).unwrap();
    let backend = EngineBackend::new(workplace.clone(), Arc::new(Copy))
        .with_output(Layout::FullSbs, lossless());
    let setup = backend::Setup {
        backend: Arc::new(backend),
        objects: workplace.objects.clone(),
        invocation: Invocation { segment, attempt: 1, input, output },
        looks: true,
    };
    backend::all(&setup).await;
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
        let settings = ChunkSettings {
            target: Duration::from_millis(500),
            most: 99,
            ..ChunkSettings::default()
        };
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
