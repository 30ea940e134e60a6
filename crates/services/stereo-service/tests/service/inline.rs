//! Clips that come with their requests.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parallax_serving::front::Limits;
use serde_json::{Value, json};

use crate::stage::{Options, Stage, clip, output};

fn request(name: &str, clip: &[u8]) -> Value {
    let clip = format!("data:video/mp4;base64,{}", STANDARD.encode(clip));
    json!({ "input_uri": clip, "output_uri": output(name), "mode": "sbs" })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clip_within_a_request_is_converted_like_any_other() {
    let limits = Limits { body_bytes: 1024, ..Limits::default() };
    let stage = Stage::start(Options { inline: 64 << 10, limits, ..Options::default() }).await;
    let (three, four) = (clip(3), clip(4));
    let (status, answer) = stage.invoke(&request("a", &three)).await;
    assert_eq!((status, &answer["frames"]), (200, &json!(3)), "{answer}");
    assert!(stage.has("a").await);
    assert_eq!(stage.invoke(&request("a", &three)).await.0, 200);
    assert_eq!(stage.gate.starts(), 1, "the same bytes are the same request");
    let (_, answer) = stage.invoke(&request("a", &four)).await;
    assert_eq!(answer["frames"], 4, "other bytes are another one");

    for page in ["/invocations", "/v1/operations/loop"] {
        let mut request = request("b", &four);
        request["operation"] = json!("loop");
        request["crossfade_frames"] = json!(1);
        assert!(stage.post(page, &request).await.0 < 300);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_not_allowed_is_refused_with_its_field() {
    let stage = Stage::start(Options { inline: 1000, ..Options::default() }).await;
    let (status, answer) = stage.invoke(&request("a", &vec![7; 1001])).await;
    assert_eq!((status, &answer["field"]), (413, &json!("input_uri")), "{answer}");
    let (status, answer) = stage.invoke(&request("a", &vec![7; 100_000])).await;
    assert_eq!((status, &answer["kind"]), (413, &json!("too_large")), "{answer}");
    // No film: the bytes are the caller's fault.
    let (status, answer) = stage.invoke(&request("a", &[7; 900])).await;
    assert_eq!((status, &answer["field"]), (400, &json!("input_uri")), "{answer}");

    let closed = Stage::start(Options::default()).await;
    let (status, answer) = closed.invoke(&request("a", &[7; 900])).await;
    assert_eq!((status, &answer["field"]), (403, &json!("input_uri")), "{answer}");
}
