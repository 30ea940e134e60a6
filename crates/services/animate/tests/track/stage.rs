//! The operation in a server without a front, with a small random network, and the clips that it is shown.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use parallax_animate::{Choice, ModelChoice, SegmentSettings, Track};
use parallax_conformance::memory::MemoryObjects;
use parallax_job::Uri;
use parallax_media::Tools;
use parallax_ports::health::{Beats, Flags};
use parallax_ports::{NoMetrics, ObjectStore, SystemClock};
use parallax_serving::{
    Access, Executor, ExecutorSettings, Failure, Handle, ModelPool, Readiness, Registry, Request,
    Service, ServiceSettings, Storage, Stores,
};
use serde_json::{Value, json};

/// The goldens of the network.
pub(crate) fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/sam2/tests/golden/clip")
}

pub(crate) struct Stage {
    service: Arc<Service>,
    pub(crate) objects: Arc<MemoryObjects>,
    pub(crate) scratch: tempfile::TempDir,
    _weights: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn start() -> Self {
        let (scratch, weights) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folder = weights.path().join("sam2.1-hiera-tiny");
        std::fs::create_dir(&folder).unwrap();
        for file in ["config.json", "model.safetensors"] {
            std::fs::copy(golden().join(file), folder.join(file)).unwrap();
        }
        let objects = Arc::new(MemoryObjects::new(Arc::new(SystemClock), Vec::new()));
        let stores = Stores { s3: Some(objects.clone()), ..Stores::default() };
        let access = Access {
            read: vec!["s3://clips".parse().unwrap()],
            write: vec!["s3://out".parse().unwrap()],
        };
        let settings = SegmentSettings {
            storage: Storage::new(stores, access, 1 << 30).with_inline(1 << 20),
            tools: Tools::find().unwrap(),
            scratch: scratch.path().to_owned(),
        };
        let choice =
            ModelChoice { dir: weights.path().to_owned(), name: None, device: Choice::Cpu };
        let models = ModelPool::new(u64::MAX).with(parallax_animate::model(choice));
        let beat = Beats::default().register("engine", Duration::from_secs(600));
        let (places, metrics) = (ExecutorSettings::default(), Arc::new(NoMetrics));
        let executor = Executor::start(places, models, metrics.clone(), beat).unwrap();
        let registry = Registry::default().with(Track::new(settings));
        let readiness = Readiness::new(Flags::default());
        let limits = ServiceSettings::default();
        let service = Service::new(registry, executor, readiness, metrics, limits);
        Self { service, objects, scratch, _weights: weights }
    }

    pub(crate) async fn clip(&self, name: &str, bytes: &[u8]) -> String {
        let uri: Uri = format!("s3://clips/{name}").parse().unwrap();
        self.objects.write(&uri, bytes).await.unwrap();
        uri.to_string()
    }

    pub(crate) async fn submit(&self, input: Value) -> Result<Handle, Failure> {
        let request =
            Request { operation: "track".to_owned(), input, id: None, client: "test".to_owned() };
        self.service.submit(request).await
    }

    pub(crate) async fn ask(&self, input: Value) -> Result<Value, Failure> {
        self.submit(input).await?.outcome().await
    }

    pub(crate) async fn read(&self, uri: &str) -> Vec<u8> {
        self.objects.read(&uri.parse().unwrap(), 1 << 24).await.unwrap()
    }

    /// Files that are left of requests.
    pub(crate) fn left(&self) -> usize {
        std::fs::read_dir(self.scratch.path()).unwrap().count()
    }
}

/// A film by ffmpeg, of what comes in by `input`.
pub(crate) fn film(input: &[&str], output: &[&str], kind: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("made.{kind}"));
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-y"]).args(input).args(output).arg(&path);
    let made = command.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::read(path).unwrap()
}

/// The frames of a film as bytes of red, green and blue.
pub(crate) fn pixels(film: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("film");
    std::fs::write(&path, film).unwrap();
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(&path);
    command.args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]);
    let made = command.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    made.stdout
}

/// So many frames of a moving pattern of 64x48.
pub(crate) fn pattern(frames: usize) -> Vec<u8> {
    let frames = frames.to_string();
    let input = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25", "-frames:v", &frames];
    film(&input, &["-c:v", "libx264", "-g", "10", "-pix_fmt", "yuv420p"], "mp4")
}

/// The lengths of the runs of a mask, in letters that have one run each.
pub(crate) fn rectangle(
    [left, top, right, bottom]: [usize; 4],
    (width, height): (usize, usize),
) -> Value {
    let mut runs = vec![left * height + top];
    for column in left..right {
        runs.push(bottom - top);
        let last = column + 1 == right;
        runs.push(if last {
            (width - right) * height + height - bottom
        } else {
            height - bottom + top
        });
    }
    let mut letters = String::new();
    for (i, &run) in runs.iter().enumerate() {
        let mut rest = run as i64 - if i > 2 { runs[i - 2] as i64 } else { 0 };
        loop {
            let five = (rest & 0x1f) as u8;
            rest >>= 5;
            let more = if five & 0x10 == 0 { rest != 0 } else { rest != -1 };
            letters.push(char::from(48 + five + if more { 0x20 } else { 0 }));
            if !more {
                break;
            }
        }
    }
    json!({ "size": [height, width], "counts": letters })
}

/// A mask of runs, row by row: whether the object is there.
pub(crate) fn inside(mask: &Value) -> Vec<bool> {
    let side = |i: usize| mask["size"][i].as_u64().unwrap() as usize;
    let (height, width) = (side(0), side(1));
    let letters = mask["counts"].as_str().unwrap().bytes();
    let (mut runs, mut run, mut shift) = (Vec::<i64>::new(), 0i64, 0);
    for letter in letters {
        let five = i64::from(letter - 48);
        run |= (five & 0x1f) << shift;
        shift += 5;
        if five & 0x20 == 0 {
            if five & 0x10 != 0 {
                run |= -1 << shift;
            }
            let before = if runs.len() > 2 { runs[runs.len() - 2] } else { 0 };
            runs.push(run + before);
            (run, shift) = (0, 0);
        }
    }
    let columns: Vec<bool> =
        runs.iter().enumerate().flat_map(|(i, &run)| vec![i % 2 == 1; run as usize]).collect();
    assert_eq!(columns.len(), width * height);
    (0..width * height).map(|i| columns[i % width * height + i / width]).collect()
}
