//! Analyses that the server keeps: written, listed, given again, searched; and stores that fail.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parallax_conformance::memory::MemoryObjects;
use parallax_job::Uri;
use parallax_perception::Shelf;
use parallax_ports::{ObjectStore, SystemClock};
use serde_json::{Value, json};

use crate::records::film;
use crate::stage::{Stage, picture};

/// Where the tests' analyses are kept.
const ROOT: &str = "s3://films/kept";

fn store() -> Arc<MemoryObjects> {
    Arc::new(MemoryObjects::new(Arc::new(SystemClock), Vec::new()))
}

fn shelf(store: &Arc<MemoryObjects>, public: Option<&str>) -> Shelf {
    Shelf::new(store.clone(), store.clone(), &format!("{ROOT}/"), public).unwrap()
}

fn at(key: &str) -> Uri {
    format!("{ROOT}/{key}").parse().unwrap()
}

async fn read(store: &MemoryObjects, key: &str) -> Vec<u8> {
    store.read(&at(key), 1 << 20).await.unwrap()
}

async fn processed(stage: &Stage, fps: f64) -> Value {
    let data = json!({"video_base64": STANDARD.encode(film()), "fps": fps});
    stage.output("process_video", &data).await
}

#[tokio::test]
async fn a_film_is_kept_under_the_names_that_clients_know() {
    let store = store();
    let stage = Stage::keeping(shelf(&store, Some("https://films.example/"))).await;
    let answer = processed(&stage, 2.0).await;
    let id = answer["video_id"].as_str().unwrap();
    let below = format!("videos/processed/{id}");
    let named = |key: &str| format!("https://films.example/{key}");
    assert_eq!(answer["analysis_url"], named(&format!("{below}/analysis.json")));
    assert_eq!(answer["thumbnail_url"], named(&format!("thumbnails/{id}_thumb.jpg")));
    let frames: Vec<String> =
        (0..6).map(|n| named(&format!("{below}/frames/frame_{n:04}.jpg"))).collect();
    assert_eq!(answer["frame_urls"], json!(frames));
    for url in frames.iter().chain([&named(&format!("thumbnails/{id}_thumb.jpg"))]) {
        let key = url.strip_prefix("https://films.example/").unwrap();
        assert!(read(&store, key).await.starts_with(b"\xff\xd8"), "{key}");
    }
    // What is kept is what was answered, with the vectors that were not asked for.
    let kept = stage.output("get_analysis", &json!({ "video_id": id })).await;
    for (field, value) in answer.as_object().unwrap() {
        if !field.ends_with("_url") && !field.ends_with("_urls") && field != "clip_embedding" {
            assert_eq!(&kept[field], value, "{field}");
        }
    }
    assert_eq!(kept["frame_embeddings"].as_array().unwrap().len(), 6);
    assert_eq!(kept["shots"].as_array().unwrap().len(), 3);
    let (status, page) = stage.get(&format!("/videos/{id}")).await;
    assert_eq!((status, &page), (200, &kept));
    // Again is no conflict; another film of the same eight digits is, and nothing of the first is lost.
    assert_eq!(processed(&stage, 2.0).await, answer);
    let key = format!("{below}/analysis.json");
    store.write_noted(&at(&key), b"another film's", "0123").await.unwrap();
    let stage = Stage::keeping(shelf(&store, None)).await;
    let data = json!({"video_base64": STANDARD.encode(film()), "fps": 2.0});
    let (status, refused) = stage.ask("process_video", &data).await;
    assert_eq!((status, &refused["detail"]["kind"]), (409, &json!("conflict")), "{refused}");
    assert_eq!(read(&store, &key).await, b"another film's");
    // The address of the store itself where no other is given.
    let stage = Stage::keeping(shelf(&store, None)).await;
    let answer = processed(&stage, 1.0).await;
    let url = answer["analysis_url"].as_str().unwrap();
    assert!(url.starts_with("s3://films/kept/videos/processed/"), "{url}");
    assert!(store.contains(&url.parse().unwrap()));
}

#[tokio::test]
async fn what_is_kept_is_listed_page_by_page_and_searched() {
    let store = store();
    let stage = Stage::keeping(shelf(&store, None)).await;
    assert_eq!(stage.output("list_videos", &json!({})).await, json!({"videos": [], "count": 0}));
    let mut ids = Vec::new();
    for fps in [1.0, 2.0, 3.0] {
        ids.push(processed(&stage, fps).await["video_id"].as_str().unwrap().to_owned());
    }
    ids.sort();
    // Frames whose analysis was never written, and what is nobody's.
    for stray in ["videos/processed/00000000/frames/frame_0000.jpg", "videos/processed/note.txt"] {
        store.write(&at(stray), b"x").await.unwrap();
    }
    let names = |answer: &Value| -> Vec<String> {
        let videos = answer["videos"].as_array().unwrap();
        videos.iter().map(|video| video["video_id"].as_str().unwrap().to_owned()).collect()
    };
    let first = stage.output("list_videos", &json!({"limit": 2})).await;
    assert_eq!((names(&first), &first["next"]), (ids[..2].to_vec(), &json!(ids[1])));
    let (_, second) = stage.get(&format!("/videos?limit=2&after={}", ids[1])).await;
    assert_eq!((names(&second), second.get("next")), (ids[2..].to_vec(), None));
    // Eight digits may all be decimal ones, and are a name all the same.
    let (_, all) = stage.get("/videos?limit=1000&after=00000000").await;
    assert_eq!(names(&all), ids);

    // Another server on the same store, which has read nothing of it yet.
    let stage = Stage::keeping(shelf(&store, None)).await;
    let bars = json!({"image_base64": STANDARD.encode(picture("smptebars")), "limit": 4});
    let found = stage.output("search", &bars).await;
    assert_eq!((&found["searched"], &found["left_out"]), (&json!(3), &json!(0)));
    let results = found["results"].as_array().unwrap();
    assert_eq!(results.len(), 4);
    assert!(results.iter().all(|hit| {
        let frame = hit["source_frame"].as_u64().unwrap();
        !(24..48).contains(&frame)
    }));
    assert_eq!(stage.output("search", &bars).await, found, "again, of what is held");
    // One by other weights is not compared, and one that is broken is counted.
    for (id, from, to) in [(&ids[0], "\"revision\":\"", "\"revision\":\"x"), (&ids[1], "[", "{")] {
        let key = format!("videos/processed/{id}/analysis.json");
        let text = String::from_utf8(read(&store, &key).await).unwrap().replace(from, to);
        store.write(&at(&key), text.as_bytes()).await.unwrap();
    }
    let found = stage.output("search", &bars).await;
    assert_eq!((&found["searched"], &found["left_out"]), (&json!(1), &json!(2)));
    let words = stage.ask("search", &json!({"text": "a dog"})).await;
    let error = &words.1["detail"]["error"];
    assert_eq!(error, "Text embedding not supported. Use VLM for text understanding.");
}

#[tokio::test]
async fn names_are_no_paths_and_what_is_not_there_is_said() {
    let store = store();
    store.write(&at("analysis.json"), b"{}").await.unwrap();
    let stage = Stage::keeping(shelf(&store, None)).await;
    let error = |answer: (u16, Value)| {
        (answer.0, answer.1["detail"]["error"].as_str().unwrap_or_default().to_owned())
    };
    let none = error(stage.ask("get_analysis", &json!({})).await);
    assert_eq!(none, (400, "No video_id provided".to_owned()));
    let absent = error(stage.ask("get_analysis", &json!({"video_id": "0123abcd"})).await);
    assert_eq!(absent, (404, "Analysis not found for video: 0123abcd".to_owned()));
    for bad in ["../..", "../../..", "..%2f..", "0123abcd/", "0123ABCD"] {
        let (status, why) = error(stage.ask("get_analysis", &json!({"video_id": bad})).await);
        assert_eq!(status, 400, "{bad}: {why}");
        assert!(why.contains("8 hexadecimal digits"), "{bad}: {why}");
    }
    let (status, _) = stage.get("/videos/..%2f..").await;
    assert_eq!(status, 400);
    // A store that takes nothing: an error, and never an answer that looks whole.
    let closed = Shelf::new(store.clone(), store.clone(), "file:///elsewhere", None).unwrap();
    let stage = Stage::keeping(closed).await;
    let data = json!({"video_base64": STANDARD.encode(film())});
    let (status, answer) = stage.ask("process_video", &data).await;
    assert_ne!(status, 200, "{answer}");
    let listed = stage.output("list_videos", &json!({})).await;
    assert_eq!(listed["count"], 0);
    // Without a store those operations are not there.
    let bare = Stage::start().await;
    let (status, answer) = bare.ask("get_analysis", &json!({"video_id": "0123abcd"})).await;
    assert_eq!(
        (status, &answer["detail"]["error"]),
        (400, &json!("Unknown operation: get_analysis"))
    );
    assert_eq!(bare.get("/videos").await.0, 404);
    let plain = processed(&bare, 2.0).await;
    assert!(plain.get("frame_urls").is_none() && plain.get("analysis_url").is_none());
}

#[test]
fn a_shelf_has_an_address() {
    let store = store();
    for bad in ["", "here", "https://films.example", "s3://"] {
        assert!(Shelf::new(store.clone(), store.clone(), bad, None).is_err(), "{bad}");
    }
}
