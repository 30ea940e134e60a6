//! The operations over HTTP as clients of the earlier service ask, on a tiny random model.
#![allow(clippy::unwrap_used)]

mod captions;
mod films;
mod kept;
mod records;
mod stage;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use stage::{Stage, picture, vector};

#[tokio::test]
async fn pictures_become_vectors() {
    let stage = Stage::start().await;
    let (one, two) = (STANDARD.encode(picture("testsrc2")), STANDARD.encode(picture("mandelbrot")));
    let raw = stage.output("embed_image", &json!({ "image_base64": one })).await;
    let [raw_vector] = &vector(&raw["dinov3_embedding"])[..] else { panic!("{raw}") };
    assert_eq!((raw_vector.len(), &raw["embedding_dim"]), (32, &json!(32)));
    assert_eq!(raw["models"]["dinov3_embedding"]["model"], "dinov3-vits16");
    let url = format!("data:image/png;base64,{one}");
    let unit = stage.output("process_frame", &json!({ "image_base64": url })).await;
    let [unit_vector] = &vector(&unit["dinov3_embedding"])[..] else { panic!("{unit}") };
    let length = raw_vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    assert!((length - 1.0).abs() > 0.1, "a raw vector of length {length} tells nothing");
    for (raw, unit) in raw_vector.iter().zip(unit_vector) {
        assert!((raw / length - unit).abs() < 1e-6);
    }
    let wide = json!({ "image_base64": one, "shortest_edge": 96 });
    let wide = stage.output("embed_image", &wide).await;
    assert_ne!(wide["dinov3_embedding"], raw["dinov3_embedding"]);

    let same = json!({ "frame1_base64": one, "frame2_base64": one });
    let same = stage.output("compare_frames", &same).await;
    assert!(
        (same["similarity"].as_f64().unwrap() - 1.0).abs() < 1e-6 && same["description"].is_null()
    );
    let other = json!({ "frame1_base64": one, "frame2_base64": two });
    let other = stage.output("compare_frames", &other).await;
    assert!(other["similarity"].as_f64().unwrap() < 0.99999, "{other}");
    assert_eq!(vector(&other["patch_similarities"]).len(), 14);
    assert_eq!(vector(&other["patch_similarities"])[0].len(), 14);

    let dense =
        json!({ "image_base64": one, "shortest_edge": 64, "include_dense_embeddings": true });
    let dense = stage.output("process_image", &dense).await;
    // 96x64, so four rows of six patches.
    let rows = dense["dense_embeddings"].as_array().unwrap();
    assert_eq!((rows.len(), vector(&rows[3]).len(), vector(&rows[3])[5].len()), (4, 6, 32));
    assert_eq!(dense["processing_resolution"], json!([96, 64]));
    assert_eq!(dense["level_stats"]["level3_dense"]["frames_with_dense"], 1);
    assert!(dense["num_tracks"].is_null() && dense["captions"].is_null());
}

#[tokio::test]
async fn refusals_have_the_words_that_clients_know() {
    let stage = Stage::start().await;
    let picture = STANDARD.encode(picture("testsrc2"));
    for (operation, data, words) in [
        ("process_video", json!({}), "No video provided. Use video_url or video_base64"),
        (
            "process_video",
            json!({ "video_base64": "" }),
            "No video provided. Use video_url or video_base64",
        ),
        ("process_image", json!({}), "No image provided"),
        ("embed_image", json!({}), "No image provided. Use image_base64 or image_url"),
        ("process_frame", json!({}), "No image provided. Use image_base64 or image_url"),
        ("compare_frames", json!({ "frame1_base64": picture }), "Both frames required"),
        ("caption", json!({ "image_base64": picture }), "Qwen3-VL not loaded (vision_only mode)"),
        (
            "embed_text",
            json!({ "text": "a" }),
            "Text embedding not supported. Use VLM for text understanding.",
        ),
        ("dance", json!({}), "Unknown operation: dance"),
    ] {
        let (status, answer) = stage.ask(operation, &data).await;
        assert_eq!((status, answer["detail"]["error"].as_str()), (400, Some(words)), "{operation}");
    }
    for (operation, data, status, words) in [
        ("embed_image", json!({ "image_base64": "no base64!" }), 400, "not base64"),
        ("embed_image", json!({ "image_base64": STANDARD.encode("text") }), 400, "not a picture"),
        (
            "embed_image",
            json!({ "image_base64": STANDARD.encode(b"\x89PNG\r\n\x1a\n") }),
            400,
            "pixels",
        ),
        (
            "embed_image",
            json!({ "image_base64": picture, "shortest_edge": 9000 }),
            400,
            "32 to 1024",
        ),
        ("embed_image", json!({ "image_base64": "A".repeat(2_000_000) }), 413, "bytes"),
        ("embed_image", json!({ "image_url": "http://127.0.0.1/a.png" }), 403, "not allowed"),
        ("process_video", json!({ "video_path": "/etc/passwd" }), 403, ""),
        ("process_video", json!({ "video_base64": picture, "fps": 0 }), 400, "fps"),
        ("process_video", json!({ "video_base64": STANDARD.encode("text") }), 400, ""),
        ("process_extracted_frames", json!({ "zip_path": "../a.zip" }), 400, ""),
    ] {
        let (found, answer) = stage.ask(operation, &data).await;
        assert_eq!(found, status, "{operation}: {answer}");
        let error = answer["detail"]["error"].as_str().unwrap();
        assert!(error.contains(words) && !error.contains("/tmp"), "{operation}: {error}");
    }
}

#[tokio::test]
async fn the_service_says_how_it_is_and_does_jobs() {
    let stage = Stage::start().await;
    let (status, answer) = stage.get("/").await;
    assert_eq!((status, answer), (200, json!({ "status": "running", "service": "STPE" })));
    let health = stage.post("/health", &json!({})).await.1["output"].clone();
    assert_eq!((&health["status"], &health["cuda_available"]), (&json!("healthy"), &json!(false)));
    assert_eq!((&health["model"], &health["embedding_dim"]), (&json!("dinov3-vits16"), &json!(32)));
    let whole = stage.post("/", &json!({ "input": {} })).await.1["output"].clone();
    assert_eq!(whole, health, "an envelope that names nothing asks how it is");
    assert_eq!(stage.output("memory_stats", &json!({})).await, json!({}), "nothing is loaded");

    let data = json!({ "image_base64": STANDARD.encode(picture("testsrc2")) });
    let asked = json!({ "input": { "operation": "embed_image", "data": data } });
    let (status, job) = stage.post("/jobs/submit", &asked).await;
    assert_eq!((status, &job["status"]), (200, &json!("queued")));
    let id = job["job_id"].as_str().unwrap().to_owned();
    assert!(id.len() == 8 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    let done = loop {
        let (status, job) = stage.get(&format!("/jobs/{id}")).await;
        assert_eq!(status, 200);
        match job["status"].as_str().unwrap() {
            "queued" | "processing" => tokio::task::yield_now().await,
            _ => break job,
        }
    };
    let page = stage.post("/embed_image", &data).await.1["output"].clone();
    assert_eq!((&done["status"], &done["result"]), (&json!("completed"), &page));
    assert_eq!(stage.get("/jobs/00000000").await.0, 404);
    assert_eq!(stage.post("/jobs/submit", &json!({ "input": { "operation": "x" } })).await.0, 400);
    let memory = stage.output("memory_stats", &json!({})).await;
    assert_eq!(memory, json!({ "error": "CUDA not available" }));
}

#[tokio::test]
async fn extracted_frames_are_looked_at_by_their_numbers() {
    let stage = Stage::start().await;
    let (one, two) = (picture("testsrc2"), picture("mandelbrot"));
    let files: [(&str, &[u8]); 6] = [
        ("frame_0010/frame_0010.png", &one),
        ("frame_0010/frame_0010.json", br#"{"player": 1}"#),
        ("frame_0012/frame_0012.png", &two),
        ("frame_0022/frame_0022.png", &two),
        ("../../frame_0040.png", &one),
        ("readme.txt", b"no frame"),
    ];
    let data = json!({ "zip_base64": stage::archive(&files), "include_frame_embeddings": true });
    let answer = stage.output("process_extracted_frames", &data).await;
    // At ten a second of sixty; the second comes too soon after the first.
    let details: Vec<(u64, f64)> = answer["frame_details"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| (d["source_frame"].as_u64().unwrap(), d["timestamp"].as_f64().unwrap()))
        .collect();
    assert_eq!(details, [(10, 0.0), (22, 0.2), (40, 0.5)]);
    assert_eq!(answer["source_type"], "extracted_frames");
    assert_eq!(answer["roblox_metadata"], json!([{ "frame_idx": 0, "metadata": { "player": 1 } }]));
    assert_eq!(answer["metadata_stats"], json!({ "frames_with_metadata": 1, "total_frames": 3 }));
    let vectors = vector(&answer["frame_embeddings"]);
    assert_eq!(vectors[0], vectors[2], "the same picture");
    assert_ne!(vectors[0], vectors[1]);
    let alone =
        stage.output("process_frame", &json!({ "image_base64": STANDARD.encode(&one) })).await;
    assert_eq!(vector(&alone["dinov3_embedding"])[0], vectors[0]);

    let none: [(&str, &[u8]); 1] = [("readme.txt", b"no frame")];
    let broken: [(&str, &[u8]); 1] = [("frame_0001.png", &one[..one.len() / 2])];
    let noted: [(&str, &[u8]); 2] = [("frame_0001.png", &one), ("frame_0001.json", b"{")];
    for (zip, words) in [
        (stage::archive(&none), "No frames found in ZIP file"),
        (stage::archive(&broken), "frame_0001.png"),
        (stage::archive(&noted), "frame_0001.json: not JSON"),
        (STANDARD.encode("PK no archive"), "not a ZIP archive"),
    ] {
        let data = json!({ "zip_base64": zip });
        let (status, answer) = stage.ask("process_extracted_frames", &data).await;
        let error = answer["detail"]["error"].as_str().unwrap();
        assert!(status == 400 && error.contains(words), "{status}: {error}");
    }
}

/// A small archive may hold gigabytes of notes, each of them within its bound.
#[tokio::test]
async fn notes_are_bounded_together_and_read_only_where_they_are_wanted() {
    let stage = Stage::start().await;
    let (one, note) = (picture("testsrc2"), format!("\"{}\"", "a".repeat(1_000_000)));
    let names: Vec<String> =
        (0..17).flat_map(|n| [format!("frame_{n:04}.png"), format!("frame_{n:04}.json")]).collect();
    let of = |name: &str| if name.ends_with("png") { &one[..] } else { note.as_bytes() };
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, of(name))).collect();
    let data = json!({ "zip_base64": stage::archive(&files), "fps": 60 });
    let (status, answer) = stage.ask("process_extracted_frames", &data).await;
    let error = answer["detail"]["error"].as_str().unwrap();
    assert!(status == 400 && error.contains("the notes of the archive"), "{status}: {error}");
    let unread = stage::archive(&[("frame_0001.png", &one[..]), ("frame_0001.json", b"{")]);
    let data = json!({ "zip_base64": unread, "include_roblox_metadata": false });
    let answer = stage.output("process_extracted_frames", &data).await;
    assert_eq!(answer["metadata_stats"], json!({ "frames_with_metadata": 1, "total_frames": 1 }));
    assert_eq!(answer.get("roblox_metadata"), None);
}

/// Only what a caller may know of a request is in its answer.
#[tokio::test]
async fn operations_are_described() {
    let stage = Stage::start().await;
    let (status, answer) = stage.get("/v1/operations").await;
    assert_eq!(status, 200);
    let operations = answer["operations"].as_array().unwrap();
    let names: Vec<&str> = operations.iter().map(|o| o["name"].as_str().unwrap()).collect();
    for name in ["embed_image", "process_video", "perception_health", "caption"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let video = operations.iter().find(|o| o["name"] == "process_video").unwrap();
    assert_eq!(video["request"]["properties"]["fps"]["default"], Value::from(2.0));
}
