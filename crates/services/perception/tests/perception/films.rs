//! Films: frames at the times at which they are shown, and the same answer every time.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parallax_media::Tools;
use parallax_nn::device::Choice;
use parallax_perception::{Choosable, Embedder, Looks, Manner, Watch, look, vectors};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, made, vector, weights};

/// Two seconds of a moving picture, 29.97 frames each.
/// Who is not interested.
struct Nobody;

impl Watch for Nobody {}

fn ntsc() -> Vec<u8> {
    let source = "testsrc2=size=96x64:rate=30000/1001:duration=2";
    made(&["-f", "lavfi", "-i", source, "-c:v", "libx264", "-pix_fmt", "yuv420p"], "mp4")
}

/// Five frames at 0, 0.1, 0.6, 0.7 and 1.5 seconds, taken by a camera on its side.
fn odd() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flat.mp4");
    let times = "setpts='eq(N,1)*1+eq(N,2)*6+eq(N,3)*7+eq(N,4)*15'";
    let input = ["-f", "lavfi", "-i", "testsrc2=size=96x64:rate=10:duration=0.5", "-vf", times];
    let kept =
        ["-fps_mode", "vfr", "-video_track_timescale", "1000", "-c:v", "libx264", "-bf", "0"];
    let flat = made(&[&input[..], &kept[..], &["-pix_fmt", "yuv420p"]].concat(), "mp4");
    std::fs::write(&path, flat).unwrap();
    let turned = ["-c", "copy", "-metadata:s:v:0", "rotate=90"];
    made(&[&["-i", path.to_str().unwrap()], &turned[..]].concat(), "mp4")
}

fn model() -> Embedder {
    Choosable::find(weights(), Some("dinov3-vits16"), Choice::Cpu).unwrap().load().unwrap()
}

fn looked(film: &[u8], fps: f64, model: &Embedder) -> Looks {
    let folder = tempfile::tempdir().unwrap();
    let path: &Path = &folder.path().join("film");
    std::fs::write(path, film).unwrap();
    let (tools, cancel) = (Tools::find().unwrap(), CancellationToken::new());
    look(&tools, path, Manner { fps }, model, &cancel, &mut Nobody).unwrap()
}

fn times(looks: &Looks) -> Vec<(u64, f64)> {
    let rounded = |seconds: f64| (seconds * 1e4).round() / 1e4;
    looks.frames.iter().map(|look| (look.source_frame, rounded(look.seconds))).collect()
}

#[test]
fn frames_have_the_times_at_which_they_are_shown() {
    let (model, ntsc) = (model(), ntsc());
    // By number every 14th or 15th would have been taken, and called a half second.
    let two = looked(&ntsc, 2.0, &model);
    assert_eq!(times(&two), [(0, 0.0), (15, 0.5005), (30, 1.001), (45, 1.5015)]);
    // More than there are: each once.
    let all = looked(&ntsc, 100.0, &model);
    let numbers: Vec<u64> = all.frames.iter().map(|look| look.source_frame).collect();
    assert_eq!(numbers, (0..60).collect::<Vec<u64>>());
    assert_eq!(times(&all)[59], (59, 1.9686));
    let odd = looked(&odd(), 2.0, &model);
    assert_eq!(times(&odd), [(0, 0.0), (2, 0.6), (4, 1.5)]);
    assert_eq!(odd.size, (64, 96), "upright");
}

#[test]
fn threads_change_nothing() {
    let (model, film) = (model(), ntsc());
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| looked(&film, 4.0, &model))
    };
    assert_eq!(with(1), with(2));
}

#[tokio::test]
async fn a_film_is_answered_the_same_by_two_servers() {
    let film = STANDARD.encode(ntsc());
    let data = json!({ "video_base64": film, "include_frame_embeddings": true });
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(Stage::start().await.output("process_video", &data).await);
    }
    assert_eq!(answers[0].to_string(), answers[1].to_string());
    let answer = &answers[0];
    assert_eq!((&answer["num_frames"], &answer["embedding_dim"]), (&json!(4), &json!(32)));
    assert_eq!(answer["video_id"].as_str().unwrap().len(), 8);
    assert_eq!(answer["processing_resolution"], json!([96, 64]));
    let frames = vector(&answer["frame_embeddings"]);
    let frames: Vec<Vec<f32>> =
        frames.iter().map(|v| v.iter().map(|&x| x as f32).collect()).collect();
    let clip: Vec<f32> = serde_json::from_value(answer["clip_embedding"].clone()).unwrap();
    let mean = vectors::unit_mean(frames.iter().map(Vec::as_slice)).unwrap();
    assert!(clip.iter().zip(&mean).all(|(a, b)| (a - b).abs() < 1e-6));
    for null in ["captions", "dense_captions", "num_tracks"] {
        assert_eq!(answer[null], Value::Null);
    }
    // Without what is not asked for.
    let data = json!({ "video_base64": film, "fps": 1, "include_frame_details": false });
    let bare = Stage::start().await.output("process_video", &data).await;
    assert_eq!(bare["num_frames"], 2);
    assert!(bare.get("frame_details").is_none() && bare.get("frame_embeddings").is_none());
    assert_ne!(bare["video_id"], answer["video_id"]);
}
