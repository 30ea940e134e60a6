//! Whole jobs on real footage: the daemon's HTTP backend, and its SageMaker backend through the
//! emulator, drive `inference-server`, and each segment's result has the very frames that
//! `parallax convert` makes of the same segment under the same seed.
//!
//! `make clips CLIPS=DIR` runs it; the footage is no part of the repository.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use parallax_job::{Bucket, JobId, JobStatus, Mode, ObjectKey, Segment};
use parallax_ports::ledger::Job;
use parallax_ports::{Clock, Ledger, ObjectStore, SystemClock};
use parallax_tests::cloud::{Cloud, EventFaults};
use parallax_tests::{Daemon, Server, audio_md5, finish, frame_md5s, probe, program};

/// Seconds of each clip that go through the draft engine.
const SECONDS: &str = "2";
const LONGEST: Duration = Duration::from_secs(400);

/// Both ways from the daemon to the server.
#[derive(Debug, Clone, Copy)]
enum Backend {
    Http,
    SageMaker,
}

/// The folder's clips, in the order of their names.
fn clips() -> Vec<PathBuf> {
    let folder = std::env::var("CLIPS").expect("CLIPS names the folder of clips");
    let entries = Path::new(&folder).read_dir().expect("CLIPS names a folder");
    let mut clips: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    clips.retain(|path| path.extension().is_some_and(|e| e == "mp4"));
    clips.sort();
    assert!(!clips.is_empty(), "{folder} has no .mp4");
    clips
}

/// The beginning of a clip; `options` are the encoder's.
fn beginning(clip: &Path, seconds: &str, options: &[&str], to: &Path) -> PathBuf {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-y", "-t", seconds, "-i"]).arg(clip);
    command.args(["-map", "0:v:0", "-map", "0:a?", "-c:a", "copy"]).args(options).arg(to);
    assert!(command.status().unwrap().success(), "{command:?}");
    to.to_owned()
}

/// A digest of the sound, where there is any.
fn sound(path: &Path) -> Option<String> {
    let streams = probe(path)["streams"].as_array().unwrap().clone();
    streams.iter().any(|stream| stream["codec_type"] == "audio").then(|| audio_md5(path))
}

/// What one engine is, for the server and for `parallax convert`.
struct Engine<'a> {
    variables: &'a [(&'a str, &'a str)],
    arguments: &'a [&'a str],
}

/// One job through one backend, from the source object to the final one. Answers each segment as
/// it was cut, with its result.
async fn job(
    backend: Backend,
    engine: &Engine<'_>,
    source: &Path,
    mode: Mode,
) -> (Cloud, Vec<(PathBuf, PathBuf)>) {
    let pool = match backend {
        Backend::Http => "http",
        Backend::SageMaker => Cloud::endpoint_pool(),
    };
    let cloud = Cloud::start(EventFaults::default(), pool).await;
    let bucket = |bucket: &Bucket| match bucket {
        Bucket::Cloud { name, .. } => name.clone(),
        Bucket::Folder { .. } => unreachable!("they are in the cloud"),
    };
    let (input, output) = (bucket(&cloud.buckets.input), bucket(&cloud.buckets.output));
    let mut variables = vec![
        ("AWS_ENDPOINT_URL", cloud.moto.url.as_str()),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("INPUT_BUCKET_NAME", &input),
        ("OUTPUT_BUCKET_NAME", &output),
    ];
    variables.extend(engine.variables);
    let server = Server::start(cloud.folder(), &variables);
    let url = format!("http://{}", server.address);
    let endpoint = cloud.endpoint_before(std::slice::from_ref(&url));
    let mut worker = match backend {
        Backend::Http => {
            let mut worker = cloud.worker();
            worker.env("INFERENCE_BACKEND", "http").env("INFERENCE_HTTP_URL", &url);
            worker
        }
        Backend::SageMaker => cloud.worker_of(&endpoint),
    };
    let daemon = Daemon::run(worker.env("ROLES", "all"));

    let job_id: JobId = "clip".parse().unwrap();
    assert!(
        cloud.ledger.create_job(&Job::new(job_id.clone(), mode, SystemClock.now())).await.unwrap()
    );
    let uri = cloud.buckets.input.uri(&ObjectKey::Source(job_id.clone())).unwrap();
    cloud.objects.upload(source, &uri).await.unwrap();
    let began = Instant::now();
    let done = loop {
        let job = cloud.job(&job_id).await;
        assert_ne!(job.status, JobStatus::Failed, "{job:?} {}", daemon.process.said().1);
        if job.status == JobStatus::Completed {
            break job;
        }
        assert!(began.elapsed() < LONGEST, "{job:?} {}", daemon.process.said().1);
        tokio::time::sleep(Duration::from_millis(200)).await;
    };

    let total = done.total_segments.unwrap();
    let mut segments = Vec::new();
    for index in 0..total {
        let segment = Segment::new(job_id.clone(), index, total, mode).unwrap();
        let segment = cloud.buckets.input.uri(&ObjectKey::Segment(segment)).unwrap();
        let result = ObjectKey::Result { job_id: job_id.clone(), index };
        let result = cloud.buckets.output.uri(&result).unwrap();
        let file = |what: &str| cloud.folder().join(format!("{what}-{index}.mp4"));
        cloud.objects.download(&segment, &file("segment")).await.unwrap();
        cloud.objects.download(&result, &file("result")).await.unwrap();
        segments.push((file("segment"), file("result")));
    }
    let made = cloud.folder().join("final.mp4");
    let uri = cloud.buckets.output.uri(&ObjectKey::Final(job_id)).unwrap();
    cloud.objects.download(&uri, &made).await.unwrap();
    assert_eq!(frame_md5s(&made).len(), frame_md5s(source).len(), "every frame has its pair");
    assert_eq!(sound(&made), sound(source));
    let frames = server.metric("parallax_serving_frames_total");
    assert!(frames >= frame_md5s(&made).len() as f64, "the server did it: {frames} frames");
    (cloud, segments)
}

/// Runs both backends and `parallax convert`, and compares frames.
async fn compare(name: &str, engine: &Engine<'_>, source: &Path, mode: Mode) {
    let layout = match mode {
        Mode::Sbs => "full-sbs",
        Mode::Anaglyph => "anaglyph",
    };
    let mut expected: Vec<Vec<String>> = Vec::new();
    for backend in [Backend::Http, Backend::SageMaker] {
        let (cloud, segments) = job(backend, engine, source, mode).await;
        for (index, (segment, result)) in segments.iter().enumerate() {
            // The cut is the same each time, so it is converted once.
            if index == expected.len() {
                let output = cloud.folder().join("expected.mp4");
                let mut command = program("parallax");
                command.arg("convert").arg(segment).arg("--output").arg(&output);
                command.args(["--overwrite", "--layout", layout, "--segment-seconds", "600"]);
                let done = finish(command.args(engine.arguments));
                assert_eq!(done.code, Some(0), "{}", done.stderr);
                expected.push(frame_md5s(&output));
            }
            assert!(!expected[index].is_empty());
            assert_eq!(frame_md5s(result), expected[index], "{name} {backend:?} segment {index}");
        }
        let frames: usize = expected.iter().map(Vec::len).sum();
        println!("{name}, {layout}, {backend:?}: {} segments, {frames} frames", segments.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn draft_jobs_have_the_frames_of_convert() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine { variables: &[("SERVER_ENGINE", "draft")], arguments: &[] };
    for (clip, mode) in clips().iter().zip([Mode::Sbs, Mode::Anaglyph].into_iter().cycle()) {
        let name = clip.file_stem().unwrap().to_str().unwrap();
        let short = folder.path().join(format!("{name}.mp4"));
        let source = beginning(clip, SECONDS, &["-c:v", "copy"], &short);
        compare(name, &engine, &source, mode).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn diffusion_jobs_have_the_frames_of_convert() {
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("weights");
    let made = finish(program("parallax-tiny-weights").arg(&weights));
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let weights = weights.to_str().unwrap();
    let variables = [
        ("SERVER_ENGINE", "stereocrafter"),
        ("SERVER_DEVICE", "cpu"),
        ("SERVER_STEPS", "2"),
        ("WEIGHTS_DIR", weights),
        ("HF_HUB_OFFLINE", "1"),
    ];
    let arguments = ["--engine", "stereocrafter", "--steps", "2", "--weights", weights];
    let engine = Engine { variables: &variables, arguments: &arguments };
    let clip = &clips()[0];
    let small = ["-vf", "scale=128:-2", "-preset", "ultrafast"];
    let source = beginning(clip, "1", &small, &folder.path().join("small.mp4"));
    compare("small", &engine, &source, Mode::Sbs).await;
}
