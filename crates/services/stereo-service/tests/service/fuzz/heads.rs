//! Whole requests as bytes: request lines, headers of the container contract, framing.

use std::time::Duration;

use futures::future::join_all;
use parallax_fuzz::Cases;
use parallax_serving::front::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stage::{Options, Stage};

const CASES: u64 = 2000;
const AT_ONCE: usize = 200;

fn corpus() -> Vec<String> {
    let body =
        r#"{"input_uri":"s3://input/none","output_uri":"s3://output/jobs/f/0","mode":"sbs"}"#;
    let length = body.len();
    let chunked: String = body.as_bytes().chunks(30).fold(String::new(), |text, part| {
        format!("{text}{:x}\r\n{}\r\n", part.len(), String::from_utf8_lossy(part))
    });
    vec![
        format!(
            "POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             x-amzn-sagemaker-inference-id: job-1_0\r\n\
             x-amzn-sagemaker-custom-attributes: a=b\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{body}"
        ),
        format!(
            "POST /v1/operations/stereo HTTP/1.1\r\nhost: x\r\nidempotency-key: k-1\r\n\
             authorization: Bearer x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
             {chunked}0\r\n\r\n"
        ),
        "GET /ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_owned(),
        "DELETE /v1/jobs/0123456789abcdef HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
            .to_owned(),
        "POST /invocations HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\
         connection: close\r\n\r\n{}"
            .to_owned(),
    ]
}

const WORDS: [&str; 14] = [
    "content-length: ",
    "transfer-encoding: chunked\r\n",
    "x-amzn-sagemaker-inference-id: ",
    "x-request-id: ",
    "idempotency-key: ",
    "\r\n\r\n",
    "HTTP/1.0",
    "HTTP/2.0",
    "PRI * HTTP/2.0",
    "upgrade: h2c\r\n",
    "expect: 100-continue\r\n",
    "99999999999999999999",
    ";ext=\"",
    "\t",
];

/// The status that bytes are answered with; `None` when the connection just ends.
async fn ask(address: &str, bytes: Vec<u8>) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.expect("it accepts");
    // It may close before it has read all.
    let _ = stream.write_all(&bytes).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer));
    let _ = read.await.unwrap_or_else(|_| panic!("held open: {}", bytes.escape_ascii()));
    let answer = String::from_utf8_lossy(&answer);
    if answer.is_empty() {
        return None;
    }
    let status = answer.split_whitespace().nth(1).and_then(|text| text.parse().ok());
    Some(status.unwrap_or_else(|| panic!("{answer:?} for {}", bytes.escape_ascii())))
}

#[tokio::test(flavor = "multi_thread")]
async fn fuzz_heads_and_framing() {
    // Short, since many inputs break off; long enough for a good request on a busy machine.
    let patience = Duration::from_secs(1);
    let limits = Limits {
        listener: parallax_listener::Limits { head: patience, ..Default::default() },
        body: patience,
        ..Limits::default()
    };
    let stage = Stage::start(Options { limits, ..Options::default() }).await;
    let good = stage.request("good", 2).await;
    let mut cases = Cases::new(CASES, &corpus(), &WORDS);
    let mut statuses = std::collections::BTreeMap::<_, u32>::new();
    loop {
        let some: Vec<Vec<u8>> =
            std::iter::from_fn(|| cases.next_case().map(<[u8]>::to_vec)).take(AT_ONCE).collect();
        if some.is_empty() {
            break;
        }
        for status in join_all(some.into_iter().map(|bytes| ask(&stage.address, bytes))).await {
            assert!(status.is_none_or(|status| status < 500), "{status:?}");
            *statuses.entry(status).or_default() += 1;
        }
    }
    assert!(statuses.contains_key(&Some(200)) && statuses.contains_key(&Some(400)), "{statuses:?}");
    stage.until_taken(0).await;
    assert_eq!(stage.invoke(&good).await.0, 200, "the next good request works");
}
