//! Analyses that are kept: the numbers that the server answers with, shots, and a page to look at.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parallax_media::Tools;
use parallax_nn::device::Choice;
use parallax_perception::{
    Choosable, Far, Keeper, Manner, Of, Pictures, Record, Report, Stored, look, look_at_picture,
    search,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, made, picture, weights};

/// A second of bars, a second of something else and a second of the bars again, 23.976 frames each.
pub(crate) fn film() -> Vec<u8> {
    let source = |kind: &str| format!("{kind}=size=160x96:rate=24000/1001:duration=1");
    let (bars, other) = (source("smptebars"), source("testsrc2"));
    let inputs = ["-f", "lavfi", "-i", &bars, "-f", "lavfi", "-i", &other];
    let cut = "[0:v]split[a][b];[a][1:v][b]concat=n=3:v=1:a=0";
    let how = ["-filter_complex", cut, "-c:v", "libx264", "-pix_fmt", "yuv420p"];
    made(&[&inputs[..], &how[..]].concat(), "mp4")
}

fn model() -> Choosable {
    Choosable::find(weights(), None, Choice::Cpu).unwrap()
}

fn recorded(name: &str, film: &[u8], fps: f64) -> (Record, Vec<Vec<u8>>, Far) {
    let folder = tempfile::tempdir().unwrap();
    let path: &Path = &folder.path().join("film");
    std::fs::write(path, film).unwrap();
    let digest: String = Sha256::digest(film).iter().map(|byte| format!("{byte:02x}")).collect();
    let (tools, cancel) = (Tools::find().unwrap(), CancellationToken::new());
    let (model, mut pictures, mut last) = (model(), Vec::new(), Far::default());
    let mut keep = |picture| {
        pictures.push(picture);
        Ok(())
    };
    let mut report = |far| last = far;
    let kept = Pictures { most_width: Some(80), keep: &mut keep };
    let mut keeper = Keeper::new(Some(kept), &mut report);
    let embedder = model.load().unwrap();
    let looks = look(&tools, path, Manner { fps }, &embedder, &cancel, &mut keeper).unwrap();
    let kept = keeper.kept();
    let source = json!(format!("sha256:{digest}"));
    let of = Of { name, source: &source, model: &model };
    (Record::of_film(&of, fps, &looks, kept), pictures, last)
}

#[tokio::test]
async fn what_is_kept_is_what_the_server_answers() {
    let film = film();
    let data = json!({"video_base64": STANDARD.encode(&film), "include_frame_embeddings": true});
    let answer = Stage::start().await.output("process_video", &data).await;
    let (record, ..) = recorded("film", &film, 2.0);
    // By the way of the answer: a file has the shortest numbers that read back the same.
    let kept = serde_json::to_value(&record).unwrap().to_string();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    for (field, value) in answer.as_object().unwrap() {
        assert_eq!(&kept[field], value, "{field}");
    }
    assert_eq!(kept["frame_embeddings"].as_array().unwrap().len(), 6);
    let read = Stored::read(&record.json().unwrap()).unwrap().unwrap();
    let same: Vec<Vec<f32>> = serde_json::from_value(answer["frame_embeddings"].clone()).unwrap();
    assert_eq!(read.vectors, same);
    // Twice the same film is twice the same file.
    assert_eq!(recorded("film", &film, 2.0).0.json().unwrap(), record.json().unwrap());
}

#[test]
fn shots_and_frames_of_23_976_a_second_are_at_their_own_times() {
    let (record, pictures, far) = recorded("film", &film(), 1000.0);
    // More frames a second than there are: each once, at its own time.
    assert_eq!((record.frames(), pictures.len()), (72, 72));
    assert_eq!((far.passed, far.frames, far.looked), (72, 72, 71));
    let kept: Value = serde_json::from_slice(&record.json().unwrap()).unwrap();
    for (i, frame) in kept["frame_details"].as_array().unwrap().iter().enumerate() {
        let time = frame["timestamp"].as_f64().unwrap();
        assert!((time - i as f64 * 1001.0 / 24000.0).abs() < 1e-3, "{i}: {time}");
    }
    let shots: Vec<u64> = record.shots.iter().map(|shot| shot.source_frame).collect();
    assert_eq!(shots, [0, 24, 48]);
    assert!((record.shots[1].timestamp - 1.001).abs() < 1e-3);
    assert!((record.seconds - 71.0 * 1001.0 / 24000.0).abs() < 1e-3);
}

#[test]
fn a_frame_is_found_by_a_picture_of_it_and_not_across_models() {
    let (record, ..) = recorded("film", &film(), 4.0);
    let stored = Stored::read(&record.json().unwrap()).unwrap().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture");
    std::fs::write(&path, picture("smptebars")).unwrap();
    let model = model();
    let (tools, cancel) = (Tools::find().unwrap(), CancellationToken::new());
    let seen = look_at_picture(&tools, &path, &model.load().unwrap(), &cancel).unwrap();
    assert_eq!(seen.size, (96, 64));
    let hits = search((&seen.class, &stored.maker), [&stored], 8);
    // The bars are in the first and the third second.
    assert!(hits.iter().all(|hit| !(24..48).contains(&hit.source_frame)), "{hits:?}");
    assert!(hits.windows(2).all(|two| two[0].similarity >= two[1].similarity));
    let mut other = stored.clone();
    other.maker.revision.push('0');
    assert!(search((&seen.class, &stored.maker), [&other], 8).is_empty());
}

#[test]
fn a_report_lets_nothing_in_and_escapes_what_it_is_given() {
    let name = "<script>alert(1)</script>\"' onload=x & co.mp4";
    let (record, pictures, _) = recorded(name, &film(), 2.0);
    let html = Report { record: &record, pictures: &pictures }.html();
    assert!(!html.contains("<script") && html.contains("&lt;script&gt;alert(1)"));
    assert!(html.contains("default-src 'none'; img-src data:; style-src 'sha256-"));
    // The style sheet is the one that the policy names.
    let style = html.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    let digest = STANDARD.encode(Sha256::digest(style.as_bytes()));
    assert!(html.contains(&format!("style-src 'sha256-{digest}'")));
    assert!(!html.contains("style=\"") && !html.contains("http://") && !html.contains("https://"));
    for id in 0..record.frames() {
        assert!(html.contains(&format!("id=\"frame-{id}\"")), "{id}");
    }
    assert_eq!(html.matches("class=\"of-shot\"").count(), 3);
    assert!(html.contains("Frame at 0:02.0") && html.contains(&record_model()));
    assert!(pictures.iter().all(|jpeg| jpeg.starts_with(b"\xff\xd8")));
}

fn record_model() -> String {
    model().made("").revision
}
