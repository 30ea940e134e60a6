//! Clips that come with their requests.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parallax_serving::front::Limits;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

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

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_are_bounded_whichever_front_reads_them_and_leave_room_behind() {
    let stage = Stage::start(Options { inline: 1 << 20, ..Options::default() }).await;
    let large = vec![b' '; (64 << 10) + 1];
    let mut held = Vec::new();
    for page in ["/invocations", "/v1/operations/stereo"].into_iter().cycle().take(16) {
        let mut stream = TcpStream::connect(&stage.address).await.unwrap();
        let head = format!("POST {page} HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&large).await.unwrap();
        held.push(stream);
    }
    // What was sent may still be on its way to the reader.
    let request = request("a", &vec![7; 900_000]);
    let refused = async {
        while stage.invoke(&request).await.0 != 429 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), refused).await.expect("sixteen are read");
    let (status, small) = stage.invoke(&json!({ "operation": "health" })).await;
    assert_eq!((status, &small["status"]), (200, &json!("ready")), "small ones are read on");
    drop(held);
    // No film, but read: the place of each is free again.
    let read = async {
        while stage.invoke(&request).await.0 != 400 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), read).await.expect("places are free again");
}
