//! `segment`, with the small random network whose masks the published library made.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parallax_job::Uri;
use parallax_ports::ObjectStore;
use parallax_tests::{Answer, Moto, Server};
use serde_json::{Value, json};

/// A JPEG of 24x16 in inks.
pub(crate) const CMYK: &str = "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwANCQoLCggNCwoLDg4NDxMgFRMSEhMnHB4XIC4pMTAuKS0sMzpKPjM2RjcsLUBXQUZMTlJTUjI+WmFaUGBKUVJP/8AAFAgAEAAYBEMRAE0RAFkRAEsRAP/EAB8AAAEFAQEBAQEBAAAAAAAAAAABAgMEBQYHCAkKC//EALUQAAIBAwMCBAMFBQQEAAABfQECAwAEEQUSITFBBhNRYQcicRQygZGhCCNCscEVUtHwJDNicoIJChYXGBkaJSYnKCkqNDU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6g4SFhoeIiYqSk5SVlpeYmZqio6Slpqeoqaqys7S1tre4ubrCw8TFxsfIycrS09TV1tfY2drh4uPk5ebn6Onq8fLz9PX29/j5+v/aAA4EQwBNAFkASwAAPwDhtL7VyP8AYn+xWdXp1djpfaj+xP8AYoorsdL7Uf2J/sUUV47pfavSf7E/2KKK7HS+1H9if7FFFdjpfaj+xP8AYoor/9k=";

/// The library's inputs and outputs.
struct Golden {
    header: Value,
    data: Vec<u8>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/models/sam2/tests/golden/plain")
}

impl Golden {
    fn open() -> Self {
        let bytes = std::fs::read(folder().join("stages.safetensors")).unwrap();
        let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
        let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
        Self { header: serde_json::from_slice(header).unwrap(), data: data.to_vec() }
    }

    fn bytes(&self, name: &str) -> &[u8] {
        let at = |i: usize| self.header[name]["data_offsets"][i].as_u64().unwrap() as usize;
        &self.data[at(0)..at(1)]
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let (four, _) = self.bytes(name).as_chunks::<4>();
        four.iter().map(|four| f32::from_le_bytes(*four)).collect()
    }

    /// Width and height of the picture, and its pixels.
    fn picture(&self) -> ((usize, usize), &[u8]) {
        let side = |i: usize| self.header["picture"]["shape"][i].as_u64().unwrap() as usize;
        ((side(1), side(0)), self.bytes("picture"))
    }

    /// The picture as a file, its samples of `depth` bits.
    fn png(&self, depth: png::BitDepth) -> Vec<u8> {
        let ((width, height), rgb) = self.picture();
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width as u32, height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(depth);
        let wide = depth == png::BitDepth::Sixteen;
        let twice: Vec<u8> = rgb.iter().flat_map(|&v| [v, v]).collect();
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(if wide { &twice } else { rgb }).unwrap();
        writer.finish().unwrap();
        file
    }
}

pub(crate) fn inline(file: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(file))
}

fn server(root: &Path, services: &str, more: &[(&str, &str)]) -> Server {
    let weights = root.join("weights/sam2.1-hiera-tiny");
    std::fs::create_dir_all(&weights).unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(folder().join(file), weights.join(file)).unwrap();
    }
    let weights = root.join("weights").display().to_string();
    let own = [
        ("SERVER_PROFILE", "http"),
        ("SERVER_SERVICES", services),
        ("WEIGHTS_DIR", &weights),
        ("SERVER_BODY_BYTES", "1048576"),
    ];
    Server::start(root, &[&own, more].concat())
}

fn segment(server: &Server, request: &Value) -> Answer {
    let mut request = request.clone();
    request["operation"] = json!("segment");
    server.post("/invocations", &[], &request.to_string())
}

/// The samples of a mask.
fn mask(file: &[u8]) -> ((usize, usize), Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
    let mut samples = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut samples).unwrap();
    assert_eq!(
        (info.color_type, info.bit_depth),
        (png::ColorType::Grayscale, png::BitDepth::Eight)
    );
    ((info.width as usize, info.height as usize), samples)
}

#[test]
fn boxes_and_points_get_the_librarys_masks() {
    let root = tempfile::tempdir().unwrap();
    let (server, golden) = (server(root.path(), "stereo,animate", &[]), Golden::open());
    let (size, _) = golden.picture();
    let boxes = golden.floats("boxes3.in.boxes");
    let boxes: Vec<&[f32]> = boxes.chunks(4).collect();
    for depth in [png::BitDepth::Eight, png::BitDepth::Sixteen] {
        let picture = inline(&golden.png(depth));
        let answer = segment(&server, &json!({ "image_url": picture, "bboxes": boxes }));
        assert_eq!(answer.status, 200, "{}", answer.body);
        let answer = answer.json();
        assert_eq!(answer["image_size"], json!([size.0, size.1]));
        let told = (&answer["success"], &answer["mask_count"], &answer["stored"]);
        assert_eq!(told, (&json!(true), &json!(3), &json!("answer")));
        let (scores, best) = (golden.floats("boxes3.multi.iou"), golden.bytes("boxes3.multi.best"));
        let packed = golden.bytes("boxes3.multi.masks");
        for (i, view) in answer["masks"].as_array().unwrap().iter().enumerate() {
            let score = scores[3 * i + usize::from(best[8 * i])];
            let near = if depth == png::BitDepth::Eight { 1e-4 } else { 1e-2 };
            assert!((view["score"].as_f64().unwrap() - f64::from(score)).abs() < near, "{view}");
            let corner = |at: usize| view["bbox"][at].as_f64().unwrap() - f64::from(boxes[i][at]);
            assert!((0..4).all(|at| corner(at).abs() < 1e-9), "{view}");
            let url = view["url"].as_str().unwrap();
            let file = url.strip_prefix("data:image/png;base64,").unwrap();
            let (of, samples) = mask(&STANDARD.decode(file).unwrap());
            assert_eq!(of, size);
            let bits = &packed[i * packed.len() / 3..];
            let inside = |at: usize| bits[at / 8] >> (7 - at % 8) & 1 == 1;
            let wrong = (0..samples.len()).filter(|&at| (samples[at] == 255) != inside(at)).count();
            // Sixteen bits may come as the next level.
            let parts = if depth == png::BitDepth::Eight { 1000 } else { 100 };
            assert!(wrong * parts <= samples.len(), "{wrong} pixels of mask {i}");
            assert!(samples.iter().all(|v| [0, 255].contains(v)));
        }
    }
    let schema = server.get("/openapi.json").json();
    assert!(schema["paths"]["/v1/operations/segment"]["post"].is_object());

    // From a file, into a folder.
    std::fs::create_dir(root.path().join("in")).unwrap();
    let source = root.path().join("in/a.png");
    std::fs::write(&source, golden.png(png::BitDepth::Eight)).unwrap();
    let output = Uri::file(root.path().join("out/masks")).unwrap().to_string();
    let request = json!({
        "image_url": Uri::file(&source).unwrap().to_string(), "output_uri": output,
        "points": [[20, 21], [40, 7]], "point_labels": [1, 0],
    });
    let answer = segment(&server, &request);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer = answer.json();
    assert_eq!((&answer["mask_count"], &answer["stored"]), (&json!(1), &json!("output_uri")));
    assert_eq!(answer["masks"][0]["url"], json!(format!("{output}/mask_0.png")));
    assert_eq!(answer["masks"][0]["bbox"], Value::Null);
    let file = std::fs::read(root.path().join("out/masks/mask_0.png")).unwrap();
    assert_eq!(mask(&file).0, size);
    // Inks are told by their colours.
    let picture = format!("data:image/jpeg;base64,{CMYK}");
    let answer = segment(&server, &json!({ "image_url": picture, "points": [[3, 4]] }));
    assert_eq!(answer.json()["image_size"], json!([24, 16]), "{}", answer.body);
    let left: Vec<_> = std::fs::read_dir(root.path().join(".scratch")).unwrap().collect();
    assert_eq!(left.len(), 1, "the server's own folder");
    let own = left.into_iter().next().unwrap().unwrap().path();
    assert_eq!(std::fs::read_dir(own).unwrap().count(), 0, "nothing is left of requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_comes_from_a_url_and_masks_go_to_the_callers_bucket() {
    let root = tempfile::tempdir().unwrap();
    let (moto, golden) = (Moto::start().await, Golden::open());
    let objects = moto.objects(&["own"]).await;
    let source: Uri = "s3://own/a.png".parse().unwrap();
    objects.write(&source, &golden.png(png::BitDepth::Eight)).await.unwrap();
    let more = [("SERVER_ORIGINS", moto.url()), ("SERVER_NETWORKS", "127.0.0.0/8")];
    let server = server(root.path(), "animate", &more);
    let request = json!({
        "image_url": objects.presign(&source, Duration::from_secs(600)).await.unwrap(),
        "bboxes": [[5, 5, 30, 30], [0, 0, 53, 38]],
        "r2": {
            "endpoint_url": moto.url(), "access_key_id": "a-key",
            "secret_access_key": "canary-of-the-request", "bucket_name": "own",
        },
    });
    let answer = segment(&server, &request);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["stored"], "r2");
    for i in 0..2 {
        let url = answer.json()["masks"][i]["url"].as_str().unwrap().to_owned();
        let key = url.strip_prefix(&format!("{}/own/animate/results/", moto.url())).unwrap();
        let (key, signature) = key.split_once('?').unwrap();
        assert!(key.ends_with(&format!("_mask_{i}.png")), "{url}");
        assert!(signature.contains("X-Amz-Expires=7200"), "{url}");
        let place: Uri = format!("s3://own/animate/results/{key}").parse().unwrap();
        let file = objects.read(&place, 1 << 20).await.unwrap();
        assert_eq!(mask(&file).0, golden.picture().0);
    }
    let mut elsewhere = request.clone();
    elsewhere["r2"]["endpoint_url"] = json!("http://127.0.0.1:1");
    assert_eq!(segment(&server, &elsewhere).status, 403);
    let mut both = request;
    both["output_uri"] = json!("file:///x/y");
    assert_eq!(segment(&server, &both).status, 400);
    let (_, log) = server.process.said();
    assert!(!log.contains("canary") && !answer.body.contains("canary"), "{log}");
}

/// A PNG that says it is this large, and holds next to nothing.
pub(crate) fn hollow(width: u32, height: u32) -> Vec<u8> {
    let mut file = Vec::new();
    let encoder = png::Encoder::new(&mut file, width.max(1), height.max(1));
    drop(encoder.write_header().unwrap());
    file[16..20].copy_from_slice(&width.to_be_bytes());
    file[20..24].copy_from_slice(&height.to_be_bytes());
    file
}

#[test]
fn what_cannot_be_meant_is_refused_in_the_words_that_callers_know() {
    let root = tempfile::tempdir().unwrap();
    let origins = ("SERVER_ORIGINS", "http://169.254.169.254,http://127.0.0.1:9");
    let (server, golden) = (server(root.path(), "animate", &[origins]), Golden::open());
    let picture = inline(&golden.png(png::BitDepth::Eight));
    let with = |more: Value| {
        let mut request = json!({ "image_url": picture, "bboxes": [[1, 1, 9, 9]] });
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    let image = |url: String| with(json!({ "image_url": url }));
    let missing = Uri::file(root.path().join("in/none.png")).unwrap().to_string();
    let points = json!(vec![[1, 1]; 100_000]);
    for (request, status, words) in [
        (json!({}), 400, "Missing required 'image_url'"),
        (json!({ "image_url": picture }), 400, "Either 'bboxes' or 'points' is required"),
        (image(missing), 404, "Failed to download image"),
        (image("http://127.0.0.1:9/a.png".to_owned()), 403, "image_url: "),
        (image("http://169.254.169.254/latest".to_owned()), 403, "image_url: "),
        (image("https://elsewhere.example/a.png".to_owned()), 403, "image_url: "),
        (image(inline(b"a text, not a picture")), 400, "image_url: not a picture"),
        (image(inline(&hollow(0, 9))), 400, "image_url: "),
        (image(inline(&hollow(30_000, 30_000))), 400, "image_url: "),
        (image(inline(&golden.png(png::BitDepth::Eight)[..900])), 400, "image_url: "),
        (with(json!({ "bboxes": [[9, 1, 1, 9]] })), 400, "bboxes[0]: [9, 1, 1, 9]: expected are"),
        (with(json!({ "bboxes": [[1, 1, 54, 9]] })), 400, "bboxes[0]: outside the picture"),
        (with(json!({ "bboxes": [[1, 1, 9]] })), 400, "bboxes"),
        (json!({ "image_url": picture, "points": points }), 400, "points: 100000 points"),
        (
            json!({ "image_url": picture, "points": [[1, 1]], "point_labels": [1, 1] }),
            400,
            "point_labels: 2 labels for 1 points",
        ),
        (with(json!({ "output_uri": "s3://elsewhere/masks" })), 403, "output_uri: "),
        (with(json!({ "output_uri": "file:///etc/masks" })), 403, "output_uri: "),
    ] {
        let answer = segment(&server, &request);
        let said = answer.json()["error"].as_str().unwrap_or_default().to_owned();
        assert_eq!(answer.status, status, "{words}: {}", answer.body);
        assert!(said.starts_with(words), "{words}: {said}");
        assert!(!answer.body.contains(&root.path().display().to_string()), "{}", answer.body);
    }
    // Without an engine there is nothing to load, and no `stereo`.
    let health = server.post("/invocations", &[], r#"{"operation": "health"}"#).json();
    assert_eq!((&health["status"], &health["engine"]), (&json!("ready"), &json!("none")));
    let stereo = server.post("/invocations", &[], r#"{"mode": "sbs"}"#);
    assert_eq!(stereo.status, 400, "{}", stereo.body);
    std::fs::remove_dir_all(root.path().join("weights")).unwrap();
    let answer = segment(&server, &with(json!({})));
    assert_eq!(answer.status, 503, "nothing was loaded before: {}", answer.body);
    let said = answer.json()["error"].to_string();
    assert!(said.contains("parallax weights fetch sam2.1-tiny"), "{said}");
}
