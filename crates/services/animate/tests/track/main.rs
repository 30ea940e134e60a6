//! `track` from a request to its result.
#![allow(clippy::unwrap_used)]

mod stage;

use parallax_serving::FailureKind;
use serde_json::{Value, json};
use stage::{Stage, film, golden, inside, pattern, pixels, rectangle};

/// The library's inputs and outputs.
struct Golden {
    header: Value,
    data: Vec<u8>,
}

impl Golden {
    fn open() -> Self {
        let bytes = std::fs::read(golden().join("clips.safetensors")).unwrap();
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

    /// Its clip, without loss.
    fn film(&self) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("raw");
        std::fs::write(&path, self.bytes("frames")).unwrap();
        let raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "53x38", "-r", "25", "-i"];
        let input = [&raw[..], &[path.to_str().unwrap()]].concat();
        film(&input, &["-c:v", "ffv1", "-pix_fmt", "yuv444p12le"], "mkv")
    }
}

fn masks(answer: &Value) -> &[Value] {
    answer["masks"].as_array().unwrap()
}

/// Frames in which an object was looked for.
fn frames(answer: &Value, object: u64) -> Vec<u64> {
    let of = masks(answer).iter().filter(|mask| mask["object"] == object);
    of.map(|mask| mask["frame"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn masks_of_a_clip_are_the_librarys_and_the_same_every_time() {
    let (stage, golden) = (Stage::start(), Golden::open());
    let url = stage.clip("a.mkv", &golden.film()).await;
    let point = golden.floats("corrected.call0.hint3.points");
    let bounds = golden.floats("corrected.call0.hint8.box");
    let request = json!({
        "video_url": url,
        "objects": [
            { "id": 3, "prompts": [{ "frame": 0, "points": [point], "point_labels": [1] }] },
            { "id": 8, "prompts": [{ "frame": 0, "bbox": bounds }] },
        ],
        "across_cuts": true,
    });
    let answer = stage.ask(request.clone()).await.unwrap();
    assert_eq!((&answer["frames"], &answer["video_size"]), (&json!(12), &json!([53, 38])));
    assert_eq!((&answer["mask_count"], &answer["shots"]), (&json!(24), &json!(1)));
    // The first frame, and the next, which is seen in its light; the calls 0 and 2 of the library.
    for (frame, call) in [(0, 0), (1, 2)] {
        let packed = golden.bytes(&format!("corrected.call{call}.masks"));
        let scores = golden.floats(&format!("corrected.call{call}.presence"));
        for at in 0..2 {
            let mask = &masks(&answer)[2 * frame + at];
            assert_eq!((&mask["frame"], &mask["object"]), (&json!(frame), &json!([3, 8][at])));
            let bits = &packed[at * packed.len() / 2..];
            let inside = inside(&mask["mask"]);
            let wrong = |&i: &usize| inside[i] != (bits[i / 8] >> (7 - i % 8) & 1 == 1);
            let wrong = (0..inside.len()).filter(wrong).count();
            assert!(wrong * 100 <= inside.len(), "frame {frame}, {at}: {wrong} pixels");
            let apart = mask["object_score"].as_f64().unwrap() - f64::from(scores[at]);
            assert!(apart.abs() < 0.05, "frame {frame}, {at}: {apart}");
        }
    }
    let absent = |mask: &&Value| mask["object_score"].as_f64().unwrap() <= 0.0;
    for mask in masks(&answer).iter().filter(absent) {
        assert!(
            inside(&mask["mask"]).iter().all(|inside| !inside),
            "what is not there has no mask"
        );
    }
    let counted = masks(&answer).iter().filter(absent).filter(|mask| mask["object"] == 3).count();
    assert_eq!(
        answer["objects"][0],
        json!({ "id": 3, "followed_frames": 12, "absent_frames": counted })
    );
    let again = stage.ask(request.clone()).await.unwrap();
    assert_eq!(again["masks"], answer["masks"]);

    // The same at an address, and as pictures.
    let with = |output: &str, place: &str| {
        let mut request = request.clone();
        (request["output"], request["output_uri"]) = (json!(output), json!(place));
        request
    };
    let stored = stage.ask(with("rle", "s3://out/masks.json")).await.unwrap();
    assert_eq!(
        (&stored["masks"], &stored["output_uri"]),
        (&Value::Null, &json!("s3://out/masks.json"))
    );
    let file: Value = serde_json::from_slice(&stage.read("s3://out/masks.json").await).unwrap();
    assert_eq!(file["masks"], answer["masks"]);
    let stored = stage.ask(with("masks", "s3://out/png/")).await.unwrap();
    assert_eq!(stored["output_uri"], "s3://out/png");
    for mask in masks(&answer) {
        let (frame, object) = (mask["frame"].as_u64().unwrap(), &mask["object"]);
        let file = stage.read(&format!("s3://out/png/frame_{frame:06}_object_{object}.png")).await;
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut samples = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut samples).unwrap();
        let want = inside(&mask["mask"]).into_iter().map(|inside| if inside { 255 } else { 0 });
        assert!(samples.into_iter().eq(want), "{mask}");
    }
    assert_eq!(stage.left(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_followed_becomes_green() {
    let stage = Stage::start();
    let (film, size) = (pattern(1), (64, 48));
    let url = stage.clip("one.mp4", &film).await;
    let bounds = [16, 8, 40, 32];
    let hint = json!({ "frame": 0, "mask": rectangle(bounds, size) });
    let request = json!({
        "video_url": url, "objects": [{ "prompts": [hint] }],
        "output": "green_screen", "output_uri": "s3://out/green.mp4",
    });
    stage.ask(request).await.unwrap();
    let (got, source) = (pixels(&stage.read("s3://out/green.mp4").await), pixels(&film));
    assert_eq!(got.len(), source.len());
    let at = |pixels: &[u8], x: usize, y: usize| {
        [0, 1, 2].map(|i| i32::from(pixels[3 * (y * size.0 + x) + i]))
    };
    // The mask comes back through the network's grid: what lies well within and well without is sure.
    let [left, top, right, bottom] = bounds;
    for (x, y) in (0..size.0).flat_map(|x| (0..size.1).map(move |y| (x, y))) {
        let want = if (left + 4..right - 4).contains(&x) && (top + 4..bottom - 4).contains(&y) {
            at(&source, x, y)
        } else if x + 5 < left || x > right + 4 || y + 5 < top || y > bottom + 4 {
            [0, 177, 64]
        } else {
            continue;
        };
        let got = at(&got, x, y);
        assert!((0..3).all(|i| (got[i] - want[i]).abs() < 24), "{x}, {y}: {got:?} for {want:?}");
    }
}

/// Two scenes of eight frames each.
fn two_scenes() -> Vec<u8> {
    let first = "testsrc2=size=64x48:rate=25:duration=0.32";
    let second = "mandelbrot=size=64x48:rate=25,trim=duration=0.32,setpts=PTS-STARTPTS";
    let graph = format!("{first}[a];{second}[b];[a][b]concat=n=2,format=yuv420p");
    film(&["-f", "lavfi", "-i", &graph], &["-c:v", "libx264", "-crf", "10"], "mp4")
}

#[tokio::test(flavor = "multi_thread")]
async fn masks_survive_a_cut_only_when_asked_and_go_both_ways() {
    let stage = Stage::start();
    let url = stage.clip("cut.mp4", &two_scenes()).await;
    let asked = |direction: &str, across: bool| {
        json!({
            "video_url": url, "direction": direction, "across_cuts": across,
            "objects": [
                { "prompts": [{ "frame": 3, "bbox": [10, 10, 40, 40] }] },
                { "prompts": [{ "frame": 5, "points": [[20, 20]] }] },
            ],
        })
    };
    for (direction, across, first, second) in [
        ("forward", false, 3..8, 5..8),
        ("forward", true, 3..16, 5..16),
        ("backward", false, 0..4, 0..6),
        ("both", false, 0..8, 0..8),
        ("both", true, 0..16, 0..16),
    ] {
        let answer = stage.ask(asked(direction, across)).await.unwrap();
        let told = format!("{direction} {across}");
        assert_eq!(frames(&answer, 1), first.collect::<Vec<u64>>(), "{told}");
        assert_eq!(frames(&answer, 2), second.collect::<Vec<u64>>(), "{told}");
    }
    // Each shot by itself, where both are pointed at.
    let mut request = asked("both", false);
    request["objects"][0]["prompts"] =
        json!([{ "frame": 3, "bbox": [10, 10, 40, 40] }, { "frame": 12, "points": [[30, 30]] }]);
    let answer = stage.ask(request).await.unwrap();
    assert_eq!((answer["shots"].clone(), frames(&answer, 1).len()), (json!(2), 16));
    assert_eq!(frames(&answer, 2).len(), 8);
}

/// More frames than are held at a time, without loss, from the beginning or from the end.
fn lossless(filter: &str) -> Vec<u8> {
    let input = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25", "-frames:v", "20"];
    let output = ["-vf", filter, "-c:v", "ffv1", "-pix_fmt", "yuv420p"];
    film(&input, &output, "mkv")
}

#[tokio::test(flavor = "multi_thread")]
async fn backward_is_forward_through_the_clip_the_other_way_round() {
    let stage = Stage::start();
    let clip = stage.clip("a.mkv", &lossless("trim=end_frame=20")).await;
    let turned = stage.clip("b.mkv", &lossless("trim=end_frame=20,reverse")).await;
    let ask = |url: &str, direction: &str, frames: [u64; 2]| {
        let prompts = json!([
            { "frame": frames[0], "bbox": [10, 10, 40, 40] },
            { "frame": frames[1], "points": [[30, 20], [5, 5]], "point_labels": [1, 0] },
        ]);
        json!({
            "video_url": url, "direction": direction, "across_cuts": true,
            "objects": [{ "prompts": prompts }],
        })
    };
    let forward = stage.ask(ask(&clip, "forward", [1, 4])).await.unwrap();
    let backward = stage.ask(ask(&turned, "backward", [18, 15])).await.unwrap();
    let both = stage.ask(ask(&clip, "both", [1, 4])).await.unwrap();
    assert_eq!((masks(&forward).len(), masks(&backward).len(), masks(&both).len()), (19, 19, 20));
    for (one, other) in masks(&forward).iter().zip(masks(&backward).iter().rev()) {
        let frame = one["frame"].as_u64().unwrap();
        assert_eq!(other["frame"], 19 - frame);
        // What is remembered comes in another order, and sums are rounded otherwise: later that may show.
        let (one, other) = (inside(&one["mask"]), inside(&other["mask"]));
        let wrong = one.iter().zip(&other).filter(|(one, other)| one != other).count();
        assert!(frame > 8 || wrong * 100 <= one.len(), "frame {frame}: {wrong} pixels");
    }
    // Back it goes from where the object is first pointed at.
    assert_eq!(masks(&forward), &masks(&both)[1..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_changes_what_follows_and_nothing_before() {
    let stage = Stage::start();
    let url = stage.clip("a.mp4", &pattern(12)).await;
    let first = json!({ "frame": 0, "bbox": [10, 10, 40, 40] });
    let correction = json!({ "frame": 6, "points": [[50, 30], [20, 20]], "point_labels": [1, 0], "corrects": true });
    let ask = |prompts: Value| json!({ "video_url": url, "objects": [{ "prompts": prompts }], "across_cuts": true });
    let plain = stage.ask(ask(json!([first]))).await.unwrap();
    let corrected = stage.ask(ask(json!([first, correction]))).await.unwrap();
    assert_eq!(masks(&plain)[..6], masks(&corrected)[..6]);
    assert_ne!(masks(&plain)[6], masks(&corrected)[6]);
    assert_ne!(masks(&plain)[7], masks(&corrected)[7]);
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_the_clip_and_a_run_can_be_stopped() {
    let stage = Stage::start();
    let mut remembered = Vec::new();
    for (name, length) in [("short.mp4", 50), ("long.mp4", 100)] {
        let url = stage.clip(name, &pattern(length)).await;
        let request = json!({
            "video_url": url, "across_cuts": true, "output_uri": "s3://out/masks.json",
            "objects": [{ "prompts": [{ "frame": 0, "bbox": [10, 10, 40, 40] }] }],
        });
        let answer = stage.ask(request).await.unwrap();
        assert_eq!(answer["mask_count"], json!(length));
        remembered.push(answer["remembered_frames"].clone());
    }
    assert_eq!(remembered[0], remembered[1]);
    let request = json!({
        "video_url": "s3://clips/long.mp4", "across_cuts": true,
        "objects": [{ "prompts": [{ "frame": 0, "bbox": [10, 10, 40, 40] }] }],
    });
    let handle = stage.submit(request).await.unwrap();
    let mut progress = handle.progress();
    let begun =
        progress.wait_for(|now| now.stage == "tracking" && now.done > 3).await.unwrap().clone();
    assert_eq!(begun.total, 100);
    handle.cancel();
    assert_eq!(handle.outcome().await.unwrap_err().kind, FailureKind::Cancelled);
    // The executor lets go after the frame at hand.
    while stage.left() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_is_refused_by_its_field() {
    let stage = Stage::start();
    let url = stage.clip("cut.mp4", &two_scenes()).await;
    let text = stage.clip("text.mp4", b"a text, not a clip").await;
    let hint = json!({ "frame": 0, "bbox": [10, 10, 40, 40] });
    let objects = |prompts: Value| json!({ "video_url": url, "objects": [{ "prompts": prompts }] });
    let with = |more: Value| {
        let mut request = objects(json!([hint]));
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    let many = json!(
        (0..129).map(|frame| json!({ "frame": frame, "points": [[1, 1]] })).collect::<Vec<_>>()
    );
    for (request, words) in [
        (with(json!({ "video_url": text })), "video_url: "),
        (with(json!({ "video_url": "s3://other/a.mp4" })), "video_url: "),
        (with(json!({ "objects": [] })), "objects: 0 objects: allowed are 1 to 16"),
        (with(json!({ "objects": vec![json!({ "prompts": [hint] }); 17] })), "objects: 17 objects"),
        (
            with(json!({ "objects": [{ "id": 2, "prompts": [hint] }, { "prompts": [hint] }] })),
            "objects[1].id: 2: there are two",
        ),
        (with(json!({ "output": "masks" })), "output_uri: expected is a place"),
        (with(json!({ "output_uri": "s3://other/a" })), "output_uri: "),
        (with(json!({ "direction": "sideways" })), "direction"),
        (objects(json!([])), "objects[0].prompts: expected is at least one"),
        (objects(many), "objects: 129 prompts in all: allowed are 128"),
        (objects(json!([{ "frame": 0 }])), "objects[0].prompts[0]: expected is a bbox"),
        (objects(json!([{ "frame": -1, "points": [[1, 1]] }])), "objects[0].prompts[0].frame"),
        (
            objects(json!([{ "frame": 1000000000, "points": [[1, 1]] }])),
            "objects[0].prompts[0].frame: 1000000000: the clip has 16 frames",
        ),
        (
            objects(json!([{ "frame": 0, "bbox": [40, 10, 10, 40] }])),
            "objects[0].prompts[0].bbox: [40, 10, 10, 40]: expected",
        ),
        (
            objects(json!([{ "frame": 0, "bbox": [10, 10, 65, 40] }])),
            "objects[0].prompts[0].bbox: outside the clip, which is 64x48",
        ),
        (
            objects(json!([{ "frame": 0, "points": [[1, 1], [1, 49]] }])),
            "objects[0].prompts[0].points[1]: outside the clip",
        ),
        (
            objects(json!([{ "frame": 0, "points": [[1, 1]], "point_labels": [1, 0] }])),
            "objects[0].prompts[0].point_labels: 2 labels for 1 points",
        ),
        (
            objects(json!([hint, hint])),
            "objects[0].prompts[1].frame: 0: the object is pointed at twice",
        ),
        (
            objects(json!([{ "frame": 0, "mask": { "size": [3, 3], "counts": "9" } }])),
            "objects[0].prompts[0].mask.size: 3x3: the clip is 64x48",
        ),
        (
            objects(json!([{ "frame": 0, "mask": { "size": [48, 64], "counts": "9" } }])),
            "objects[0].prompts[0].mask.counts: the runs do not make up a mask of 64x48",
        ),
        (
            objects(
                json!([{ "frame": 0, "mask": rectangle([1, 1, 2, 2], (64, 48)), "points": [[1, 1]] }]),
            ),
            "objects[0].prompts[0].mask: a mask and a box",
        ),
        (
            objects(json!([hint, { "frame": 12, "points": [[1, 1]], "corrects": true }])),
            "objects[0].prompts[1].corrects: frame 12: in its shot",
        ),
    ] {
        let failure = stage.ask(request).await.unwrap_err();
        assert!(failure.message.starts_with(words), "{words}: {failure}");
        let shown = stage.scratch.path().display().to_string();
        assert!(!failure.message.contains(&shown), "{failure}");
    }
    assert_eq!(stage.left(), 0);
}
