//! `animate`, with small random networks: what the film holds is checked where the networks are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parallax_job::Uri;
use parallax_ports::ObjectStore;
use parallax_tests::{Answer, Moto, Server, probe};
use serde_json::{Value, json};

use super::segment::{CMYK, hollow, inline};

fn server(root: &Path, more: &[(&str, &str)]) -> Server {
    let weights = root.join("weights");
    parallax_tiny_weights::write_animation(&weights, 3).unwrap();
    let weights = weights.display().to_string();
    let own = [
        ("SERVER_PROFILE", "http"),
        ("SERVER_SERVICES", "animate"),
        ("WEIGHTS_DIR", &weights),
        ("SERVER_BODY_BYTES", "1048576"),
    ];
    Server::start(root, &[&own, more].concat())
}

fn png(
    (width, height): (usize, usize),
    color: png::ColorType,
    depth: png::BitDepth,
    samples: &[u8],
) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(color);
    encoder.set_depth(depth);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(samples).unwrap();
    writer.finish().unwrap();
    file
}

/// Stripes and a ramp.
fn picture(size: (usize, usize), depth: png::BitDepth) -> Vec<u8> {
    let level = |at: usize| {
        let (x, y, channel) = (at / 3 % size.0, at / 3 / size.0, at % 3);
        ((x * 3 + y * 2 + channel * 40) % 200 + x / 8 % 2 * 50) as u8
    };
    let samples: Vec<u8> = (0..3 * size.0 * size.1).map(level).collect();
    let wide = samples.iter().flat_map(|&level| [level, level]).collect();
    let samples = if depth == png::BitDepth::Sixteen { wide } else { samples };
    png(size, png::ColorType::Rgb, depth, &samples)
}

/// White on the left half.
fn mask(size: (usize, usize)) -> Vec<u8> {
    let level = |at: usize| if at % size.0 < size.0 / 2 { 255 } else { 0 };
    let samples: Vec<u8> = (0..size.0 * size.1).map(level).collect();
    png(size, png::ColorType::Grayscale, png::BitDepth::Eight, &samples)
}

/// A request that small machines answer soon.
fn request(picture: &str) -> Value {
    json!({
        "operation": "animate", "image_url": picture, "num_frames": 3, "steps": 2, "width": 128, "height": 64,
        "seed": 5,
    })
}

fn with(mut request: Value, more: Value) -> Value {
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

fn ask(server: &Server, request: &Value) -> Answer {
    server.post("/invocations", &[], &request.to_string())
}

fn film(answer: &Value, folder: &Path) -> PathBuf {
    let url = answer["output_url"].as_str().unwrap();
    let film = STANDARD.decode(url.strip_prefix("data:video/mp4;base64,").unwrap()).unwrap();
    let path = folder.join("film.mp4");
    std::fs::write(&path, film).unwrap();
    path
}

/// Red, green and blue of all frames.
fn decoded(film: &Path) -> Vec<u8> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-i"]).arg(film);
    let done = ffmpeg.args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]).output().unwrap();
    assert!(done.status.success());
    done.stdout
}

fn nothing_is_left(root: &Path) {
    let folders = std::fs::read_dir(root.join(".scratch")).unwrap();
    for own in folders.map(|own| own.unwrap().path()) {
        assert_eq!(std::fs::read_dir(own).unwrap().count(), 0, "nothing is left of requests");
    }
}

#[test]
fn a_picture_becomes_a_film_that_browsers_play() {
    let root = tempfile::tempdir().unwrap();
    let server = server(root.path(), &[]);
    let asked = request(&inline(&picture((150, 97), png::BitDepth::Eight)));
    let answer = ask(&server, &asked);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer = answer.json();
    let mut told = answer.clone();
    let (url, seconds) = (told["output_url"].take(), told["processing_time_seconds"].take());
    assert!(url.is_string() && seconds.as_f64() > Some(0.0));
    let wanted = json!({
        "success": true, "output_url": null, "original_size": [150, 97], "processed_size": [128, 64],
        "output_size": [128, 64], "num_frames": 3, "fps": 6, "motion_bucket_id": 127, "seed": 5,
        "decode_chunk_size": 8, "stored": "answer", "processing_time_seconds": null,
    });
    let chunk = told["decode_chunk_size"].take();
    assert!([1, 2, 3].contains(&chunk.as_u64().unwrap()), "{chunk} of 3 frames");
    assert_eq!(told, with(wanted, json!({ "decode_chunk_size": null })));

    let path = film(&answer, root.path());
    let bytes = std::fs::read(&path).unwrap();
    let place = |name: &[u8]| bytes.windows(4).position(|four| four == name).unwrap();
    assert!(place(b"moov") < place(b"mdat"), "the index comes first");
    let stream = &probe(&path)["streams"][0];
    let of = |name: &str| stream[name].as_str().unwrap_or_default().to_owned();
    assert_eq!([of("codec_name"), of("pix_fmt"), of("r_frame_rate")], ["h264", "yuv420p", "6/1"]);
    let tags = [of("color_space"), of("color_range")];
    assert_eq!((tags, &stream["width"]), (["bt709".into(), "tv".into()], &json!(128)));
    let frames = decoded(&path);
    assert_eq!(frames.len(), 3 * 3 * 128 * 64);

    let again = ask(&server, &asked).json();
    assert_eq!(again["output_url"], url, "the same seed makes the same film");
    let other = ask(&server, &with(asked.clone(), json!({ "seed": 6 }))).json();
    assert_ne!(other["output_url"], url);
    // Without a seed there is another each time, and it is told.
    let any = || ask(&server, &with(asked.clone(), json!({ "seed": null }))).json();
    let (first, second) = (any(), any());
    assert_ne!(first["seed"], second["seed"]);
    let told = with(asked.clone(), json!({ "seed": first["seed"] }));
    assert_eq!(ask(&server, &told).json()["output_url"], first["output_url"]);

    // A portrait stays one, and comes back at its size and rate.
    let high = inline(&picture((61, 90), png::BitDepth::Sixteen));
    let more = json!({
        "image_url": high, "width": 64, "height": 128, "fit": "pad", "restore_size": true, "fps": 7.5,
        "decode_chunk_size": 2,
    });
    let answer = ask(&server, &with(asked, more)).json();
    assert_eq!(answer["original_size"], json!([61, 90]), "{answer}");
    assert_eq!(
        (&answer["processed_size"], &answer["output_size"]),
        (&json!([64, 128]), &json!([60, 90]))
    );
    assert_eq!((&answer["fps"], &answer["decode_chunk_size"]), (&json!(7.5), &json!(2)));
    let stream = &probe(&film(&answer, root.path()))["streams"][0];
    assert_eq!((&stream["width"], &stream["height"]), (&json!(60), &json!(90)));
    assert_eq!(stream["r_frame_rate"], "15/2");
    let schema = server.get("/openapi.json").json();
    assert!(schema["paths"]["/v1/operations/animate"]["post"].is_object());
    nothing_is_left(root.path());
}

#[test]
fn what_a_mask_leaves_black_stays_as_the_picture() {
    let root = tempfile::tempdir().unwrap();
    let server = server(root.path(), &[]);
    let size = (128, 64);
    let plain = request(&inline(&picture(size, png::BitDepth::Eight)));
    let masked = with(plain.clone(), json!({ "mask_url": inline(&mask((64, 32))) }));
    let (plain, masked) = (ask(&server, &plain).json(), ask(&server, &masked).json());
    let (plain, masked) =
        (decoded(&film(&plain, root.path())), decoded(&film(&masked, root.path())));
    let source = root.path().join("a.png");
    std::fs::write(&source, picture(size, png::BitDepth::Eight)).unwrap();
    let still = decoded(&source);
    let mean = |of: &[u8], to: &[u8], columns: std::ops::Range<usize>| {
        let inside = |at: &usize| columns.contains(&(at / 3 % 128));
        let off: Vec<u64> = (0..of.len())
            .filter(inside)
            .map(|at| u64::from(of[at].abs_diff(to[at % to.len()])))
            .collect();
        off.iter().sum::<u64>() as f64 / off.len() as f64
    };
    // H.264 changes a little everywhere, and the mask is resized softly.
    assert!(mean(&masked, &still, 72..128) < 8.0, "{}", mean(&masked, &still, 72..128));
    assert!(mean(&masked, &plain, 0..56) < 8.0);
    assert!(mean(&masked, &still, 0..56) > 20.0 && mean(&plain, &still, 72..128) > 20.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_film_goes_to_the_callers_bucket_or_to_a_place() {
    let root = tempfile::tempdir().unwrap();
    let moto = Moto::start().await;
    let objects = moto.objects(&["own"]).await;
    let source: Uri = "s3://own/a.png".parse().unwrap();
    objects.write(&source, &picture((80, 50), png::BitDepth::Eight)).await.unwrap();
    let more = [("SERVER_ORIGINS", moto.url()), ("SERVER_NETWORKS", "127.0.0.0/8")];
    let server = server(root.path(), &more);
    let signed = objects.presign(&source, Duration::from_secs(600)).await.unwrap();
    let bucket = json!({
        "endpoint_url": moto.url(), "access_key_id": "a-key",
        "secret_access_key": "canary-of-the-request", "bucket_name": "own",
    });
    let asked = with(request(&signed), json!({ "num_frames": 1, "steps": 1 }));
    let answer = ask(&server, &with(asked.clone(), json!({ "r2": bucket })));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let told = answer.json();
    let key = told["r2_key"].as_str().unwrap();
    assert!(key.starts_with("animate/results/") && key.ends_with(".mp4"), "{key}");
    let url = told["output_url"].as_str().unwrap();
    assert!(url.starts_with(&format!("{}/own/{key}?", moto.url())), "{url}");
    assert!(url.contains("X-Amz-Expires=7200"), "{url}");
    let place: Uri = format!("s3://own/{key}").parse().unwrap();
    assert_eq!(&objects.read(&place, 1 << 24).await.unwrap()[4..8], b"ftyp");

    let place = root.path().join("out/a.mp4");
    let output = Uri::file(&place).unwrap().to_string();
    let answer = ask(&server, &with(asked.clone(), json!({ "output_uri": output }))).json();
    assert_eq!((&answer["output_url"], &answer["stored"]), (&json!(output), &json!("output_uri")));
    assert_eq!(probe(&place)["streams"][0]["codec_name"], "h264");

    let mut none = bucket.clone();
    none["bucket_name"] = json!("none-of-that-name");
    let refused = ask(&server, &with(asked.clone(), json!({ "r2": none })));
    assert_eq!(refused.json()["error"], "Failed to upload result video", "{}", refused.body);
    let both = ask(&server, &with(asked, json!({ "r2": bucket, "output_uri": output })));
    assert_eq!(both.status, 400, "{}", both.body);
    let (_, log) = server.process.said();
    let said = [answer.to_string(), refused.body, both.body, log].concat();
    assert!(!said.contains("canary"), "{said}");
    nothing_is_left(root.path());
}

/// A PNG that moves: it says that it has two pictures.
fn moving() -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 8, 8);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    for level in [9, 99] {
        writer.write_image_data(&[level; 192]).unwrap();
    }
    writer.finish().unwrap();
    file
}

#[test]
fn what_cannot_be_meant_is_refused_and_nothing_is_left_of_it() {
    let root = tempfile::tempdir().unwrap();
    let origins = ("SERVER_ORIGINS", "http://169.254.169.254,http://127.0.0.1:9");
    let server = server(root.path(), &[origins]);
    let good = inline(&picture((70, 40), png::BitDepth::Eight));
    let asked = || request(&good);
    let image = |url: String| with(asked(), json!({ "image_url": url }));
    let masked = |url: String| with(asked(), json!({ "mask_url": url }));
    let missing = Uri::file(root.path().join("in/none.png")).unwrap().to_string();
    for (request, status, words) in [
        (json!({ "operation": "animate" }), 400, "Missing required 'image_url'"),
        (image(missing.clone()), 404, "Failed to download image"),
        (masked(missing), 404, "Failed to download mask"),
        (image("http://127.0.0.1:9/a.png".to_owned()), 403, "image_url: "),
        (image("http://169.254.169.254/latest".to_owned()), 403, "image_url: "),
        (masked("http://169.254.169.254/latest".to_owned()), 403, "mask_url: "),
        (image("https://elsewhere.example/a.png".to_owned()), 403, "image_url: "),
        (image(inline(b"a text, not a picture")), 400, "image_url: not a picture"),
        (masked(inline(b"a text, not a picture")), 400, "mask_url: not a picture"),
        (image(inline(&hollow(0, 9))), 400, "image_url: "),
        (image(inline(&hollow(30_000, 30_000))), 400, "image_url: "),
        (image(inline(&moving())), 400, "image_url: "),
        (with(asked(), json!({ "num_frames": 0 })), 400, "num_frames: 0: allowed are 1 to 25"),
        (
            with(asked(), json!({ "num_frames": 1_000_000_000 })),
            400,
            "num_frames: 1000000000: allowed are 1 to 25",
        ),
        (with(asked(), json!({ "num_frames": "many" })), 400, "num_frames: "),
        (with(asked(), json!({ "motion_bucket_id": 0 })), 400, "motion_bucket_id: 0: allowed"),
        (with(asked(), json!({ "noise_aug_strength": 2 })), 400, "noise_aug_strength: 2: allowed"),
        (with(asked(), json!({ "fps": 0 })), 400, "fps: 0: allowed are 1 to 120"),
        (with(asked(), json!({ "height": 72 })), 400, "height: 72: allowed are multiples of 64"),
        (with(asked(), json!({ "output_uri": "s3://elsewhere/a.mp4" })), 403, "output_uri: "),
        (with(asked(), json!({ "output_uri": "file:///etc/a.mp4" })), 403, "output_uri: "),
    ] {
        let answer = ask(&server, &request);
        let said = answer.json()["error"].as_str().unwrap_or_default().to_owned();
        assert_eq!(answer.status, status, "{words}: {}", answer.body);
        assert!(said.starts_with(words), "{words}: {said}");
        assert!(!answer.body.contains(&root.path().display().to_string()), "{}", answer.body);
        nothing_is_left(root.path());
    }
    // Inks are told by their colours.
    let inks = with(image(format!("data:image/jpeg;base64,{CMYK}")), json!({ "num_frames": 1 }));
    let answer = ask(&server, &inks);
    assert_eq!(answer.json()["original_size"], json!([24, 16]), "{}", answer.body);
    drop(server);

    let empty = root.path().join("none");
    std::fs::create_dir(&empty).unwrap();
    let weights = ("WEIGHTS_DIR", empty.to_str().unwrap());
    let bare = self::server(root.path(), &[weights]);
    let answer = ask(&bare, &asked());
    assert_eq!(answer.status, 503, "{}", answer.body);
    let said = answer.json()["error"].to_string();
    assert!(said.contains("parallax weights fetch svd-xt"), "{said}");
}

/// A job of RunPod's development API, until `done` is true of its status.
fn until(server: &Server, job: &str, done: impl Fn(&Value) -> bool) -> Value {
    loop {
        let status = server.get(&format!("/v2/animate/status/{job}")).json();
        if done(&status) {
            return status;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn on_runpod_a_job_is_answered_as_the_forerunner_answered_it() {
    let root = tempfile::tempdir().unwrap();
    // Takes connections and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let server = server(
        root.path(),
        &[
            ("SERVER_PROFILE", "runpod"),
            ("SERVER_ORIGINS", &silent),
            ("SERVER_NETWORKS", "127.0.0.0/8"),
        ],
    );
    let run = |input: Value| {
        let body = json!({ "input": input }).to_string();
        server.post("/v2/animate/runsync", &[], &body).json()
    };
    let mut flat = request(&inline(&picture((70, 40), png::BitDepth::Eight)));
    flat.as_object_mut().unwrap().remove("operation");
    let done = run(flat.clone());
    assert_eq!(done["status"], "COMPLETED", "{done}");
    assert_eq!(done["output"]["success"], true, "{done}");
    assert_eq!(done["output"]["num_frames"], 3, "{done}");
    for (input, words) in [
        (json!({}), "Missing required 'image_url'"),
        (json!({ "operation": "segment" }), "Missing required 'image_url'"),
        (json!({ "operation": "dance" }), "Unknown operation: dance. Supported: segment, animate"),
        (with(flat.clone(), json!({ "num_frames": 26 })), "num_frames: 26: allowed are 1 to 25"),
        (
            with(flat.clone(), json!({ "image_url": "file:///nowhere/a.png" })),
            "image_url: the path is below none of the folders that may be used",
        ),
    ] {
        let failed = run(input);
        assert_eq!((&failed["status"], &failed["error"]), (&json!("FAILED"), &json!(words)));
    }

    // Cancelled while a picture does not come.
    let waiting = with(flat.clone(), json!({ "image_url": format!("{silent}/a.png") }));
    let body = json!({ "input": waiting }).to_string();
    let job = server.post("/v2/animate/run", &[], &body).json();
    let job = job["id"].as_str().unwrap();
    until(&server, job, |status| status["output"]["stage"] == "reading");
    let cancelled = server.post(&format!("/v2/animate/cancel/{job}"), &[], "").json();
    assert_eq!(cancelled["status"], "CANCELLED", "{cancelled}");

    // Cancelled between steps: 25 frames and 100 steps take longer than anybody waits.
    let long = with(flat, json!({ "num_frames": 25, "steps": 100, "width": 512, "height": 512 }));
    let body = json!({ "input": long }).to_string();
    let job = server.post("/v2/animate/run", &[], &body).json();
    let job = job["id"].as_str().unwrap();
    let animating = |status: &Value| status["output"]["stage"] == "animating";
    let status = until(&server, job, animating);
    assert_eq!(status["output"]["total"], 100, "{status}");
    let cancelled = server.post(&format!("/v2/animate/cancel/{job}"), &[], "").json();
    assert_eq!(cancelled["status"], "CANCELLED", "{cancelled}");
    // The next one has its turn when the step ends.
    let next = run(with(
        request(&inline(&picture((70, 40), png::BitDepth::Eight))),
        json!({ "num_frames": 1, "steps": 1 }),
    ));
    assert_eq!(next["status"], "COMPLETED", "{next}");
    nothing_is_left(root.path());
}
