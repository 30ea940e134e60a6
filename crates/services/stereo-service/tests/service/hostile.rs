//! Requests that mean no good: each is refused with a 4xx, and the next good one works.

use std::time::Duration;

use axum::Router;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use axum::routing::get;
use futures::future::join_all;
use parallax_serving::front::Limits;
use parallax_serving::net::{Networks, Outside};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::stage::{Options, Stage, clip, output};

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_a_request_may_not_name_are_refused() {
    let stage = Stage::start(Options::default()).await;
    let good = stage.request("good", 2).await;
    let inputs = [
        "file:///etc/passwd",
        "file:///etc/../etc/passwd",
        "file:///proc/self/environ",
        "file://localhost/etc/passwd",
        "file:///etc/%70asswd",
        "file:///%2e%2e/etc/passwd",
        "file:",
        "s3://other/segments/a.mp4",
        "s3://input",
        "s3://input/",
        "s3://input/../output/a",
        "s3://input/a/../../b",
        "s3://input/%2e%2e/a",
        "s3://input/a//b",
        "s3://input/a%00b",
        "s3://input/a\u{0}b",
        "s3://input/a\nb",
        "s3://input/*",
        "s3://INPUT/a",
        "s3://inputs/a",
        "s3://input.evil/a",
        "s3://user:canary@input/a",
        "gs://input/a",
        "az://input/a",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:a9fe:a9fe]/latest",
        "http://2852039166/",
        "http://0xa9.0xfe.0xa9.0xfe/",
        "http://0251.0376.0251.0376/",
        "http://169.254.170.2/v2/credentials",
        "http://[fd00:ec2::254]/",
        "http://metadata.google.internal/",
        "http://127.0.0.1/",
        "http://localhost/",
        "http://127.1/",
        "http://0/",
        "http://[::1]/",
        "https://user:canary@example.com/",
        "https://example.com/?token=canary",
        "gopher://x/",
        "data:video/mp4;base64,AAAA",
        "concat:/etc/passwd",
        "pipe:0",
        "",
        " ",
        "-i",
        "\\\\host\\x",
        "//etc/passwd",
        "/etc/passwd",
        "../../etc/passwd",
    ];
    for (field, places) in [("input_uri", &inputs[..]), ("output_uri", &inputs[..])] {
        for place in places {
            for page in ["/invocations", "/v1/operations/stereo"] {
                let mut request = good.clone();
                request[field] = json!(place);
                let (status, body) = stage.post(page, &request).await;
                let kind = body["kind"].as_str().unwrap_or_default();
                assert!([400, 403].contains(&status), "{field} {place:?}: {status} {body}");
                assert!(["invalid", "forbidden"].contains(&kind), "{place:?}: {body}");
                assert_eq!(body["field"], field, "{place:?}: {body}");
                assert!(!body.to_string().contains("canary"), "{body}");
            }
        }
    }
    let mut request = good.clone();
    request["output_uri"] = json!("s3://output/other/a.mp4");
    assert_eq!(stage.invoke(&request).await.0, 403, "outputs have a prefix");
    request["output_uri"] = good["input_uri"].clone();
    assert_eq!(stage.invoke(&request).await.0, 403);
    assert_eq!(stage.invoke(&good).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_requests_are_refused() {
    let stage = Stage::start(Options::default()).await;
    let good = stage.request("good", 2).await;
    let with = |field: &str, value: Value| {
        let mut request = good.clone();
        request[field] = value;
        request.to_string()
    };
    let deep = |n: usize| format!("{{\"x\":{}{}}}", "[".repeat(n), "]".repeat(n));
    let bodies: Vec<(String, u16)> = vec![
        (String::new(), 400),
        ("null".into(), 400),
        ("[]".into(), 400),
        ("7".into(), 400),
        ("\"x\"".into(), 400),
        ("{".into(), 400),
        ("{}".into(), 400),
        ("{\"a\":1}}".into(), 400),
        ("{\"input_uri\": nan}".into(), 400),
        ("\u{feff}{}".into(), 400),
        (deep(31), 400),
        (deep(33), 400),
        (deep(20_000), 400),
        ("[".repeat(60_000), 400),
        (format!("{{\"x\":\"{}\"}}", "y".repeat(70_000)), 413),
        (with("mode", json!("hologram")), 400),
        (with("mode", json!(7)), 400),
        (with("mode", json!(null)), 400),
        (with("seed", json!(-1)), 400),
        (with("seed", json!(1.5)), 400),
        (with("seed", json!("1")), 400),
        (with("seed", json!(1e30)), 400),
        (with("disparity_percent", json!(11)), 400),
        (with("disparity_percent", json!(-0.1)), 400),
        (with("convergence", json!(2)), 400),
        (with("convergence", json!([0.5])), 400),
        (with("convergence", json!("near")), 400),
        (with("convergence", json!(true)), 400),
        (with("floating_window", json!("true")), 400),
        (with("floating_window", json!(1)), 400),
        (with("fill", json!("magic")), 400),
        (with("fill", json!(["temporal"])), 400),
        (with("fill", json!(1)), 400),
        (with("input_uri", json!(["s3://input/a"])), 400),
        (with("input_uri", json!(7)), 400),
        (with("output_uri", json!({})), 400),
        (with("output_uri", json!(null)), 400),
        (with("s3_input_uri", json!("s3://input/b")), 400),
        (with("storage", json!({})), 400),
        (with("storage", json!("canary")), 400),
        (
            with(
                "storage",
                json!({ "endpoint_url": "http://169.254.169.254",
            "access_key_id": "canary", "secret_access_key": "canary" }),
            ),
            403,
        ),
        (with("operation", json!("format_disk")), 400),
        (with("operation", json!(1)), 400),
    ];
    for (body, expected) in bodies {
        let call = stage.client.post(format!("{}/invocations", stage.url)).body(body.clone());
        let answer = call.send().await.unwrap();
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        let shown: String = body.chars().take(200).collect();
        assert_eq!(status, expected, "{shown}: {text}");
        assert!(text.len() < 2000 && !text.contains("canary"), "{shown}: {text}");
    }
    for field in ["mode", "seed", "disparity_percent", "convergence", "input_uri"] {
        let call = stage.client.post(format!("{}/invocations", stage.url));
        let call = call.body(with(field, json!({ "x": 1 }))).send().await.unwrap();
        let (_, body) = crate::stage::answer(call).await;
        assert_eq!(body["field"], field, "{body}");
    }
    // What is not known is ignored.
    let call = stage.client.post(format!("{}/invocations", stage.url));
    assert_eq!(call.body(with("unknown", json!([1]))).send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_too_much_is_told_so_every_time() {
    let stage = Stage::start(Options::default()).await;
    for length in [70_000, 500_000].repeat(60) {
        let call = stage.client.post(format!("{}/invocations", stage.url)).body("[".repeat(length));
        assert_eq!(call.send().await.unwrap().status(), 413);
        // On the same connection, if it is still there.
        let call = stage.client.post(format!("{}/invocations", stage.url)).body("{}");
        assert_eq!(call.send().await.unwrap().status(), 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_broken_requests_hold_nothing() {
    // So long that a request is slow because it means to be.
    let patience = Duration::from_secs(3);
    let limits = Limits {
        listener: parallax_listener::Limits { head: patience, ..Default::default() },
        body: patience,
        ..Limits::default()
    };
    let stage = Stage::start(Options { limits, ..Options::default() }).await;
    let good = stage.request("good", 2).await;
    let head = "POST /invocations HTTP/1.1\r\nhost: x\r\n";
    let cases = [
        (format!("{head}content-length: 100\r\n\r\n{{"), "408"),
        (format!("{head}transfer-encoding: chunked\r\n\r\n5\r\n{{\"a\":\r\n"), "408"),
        (format!("{head}content-length: 99999999999\r\n\r\n{{"), "413"),
        (format!("{head}content-length: 99999999999999999999999\r\n\r\n{{"), "400"),
        (format!("{head}content-length: 5\r\ncontent-length: 6\r\n\r\n{{}}"), "400"),
        (format!("{head}transfer-encoding: chunked\r\n\r\nZZ\r\n"), "400"),
        (format!("{head}x: {}\r\n\r\n", "y".repeat(100_000)), "431"),
        ("POST /invocations HTTP/9.9\r\n\r\n".to_owned(), "400"),
        ("\u{1}\u{2}\u{3}\r\n\r\n".to_owned(), "400"),
        // A head that never ends is not answered.
        ("POST /invoc".to_owned(), ""),
        (head.to_owned(), ""),
    ];
    join_all(cases.into_iter().map(async |(sent, expected)| {
        let mut stream = TcpStream::connect(&stage.address).await.unwrap();
        let _ = stream.write_all(sent.as_bytes()).await;
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let read = tokio::time::timeout(Duration::from_secs(60), read).await;
        read.expect("the server closes").ok();
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split_whitespace().nth(1).unwrap_or_default();
        let shown: String = sent.chars().take(120).collect();
        // Some kernels drop the answer when the rest of the request is not read.
        assert!(
            status == expected || (expected == "431" && status.is_empty()),
            "{shown:?}: {answer}"
        );
    }))
    .await;
    assert_eq!(stage.service.executor().slots().0, 0);
    assert_eq!(stage.invoke(&good).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_holds_its_connection_for_a_while_only() {
    let stall = Duration::from_millis(300);
    let listener = parallax_listener::Limits { connections: 1, stall, ..Default::default() };
    let limits = Limits { listener, ..Limits::default() };
    let stage = Stage::start(Options { limits, ..Options::default() }).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut deaf = socket.connect(stage.address.parse().unwrap()).await.unwrap();
    let ask = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n";
    // More and more answers, until both directions are full.
    while let Ok(Ok(())) =
        tokio::time::timeout(Duration::from_millis(200), deaf.write_all(ask)).await
    {}
    let mut next = TcpStream::connect(&stage.address).await.unwrap();
    next.write_all(b"GET /ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let read = next.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(20), read).await.expect("it is its turn").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(deaf);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_a_browser_shows_is_refused_where_no_token_is_asked_for() {
    let stage = Stage::start(Options::default()).await;
    let request = stage.request("a", 2).await;
    for page in ["/invocations", "/v1/operations/stereo", "/v1/operations/health"] {
        let call = stage.client.post(format!("{}{page}", stage.url));
        let call = call.header("origin", "https://evil.example").body(request.to_string());
        assert_eq!(call.send().await.unwrap().status(), 403, "{page}");
    }
    assert!(!stage.has("a").await);
}

/// Somebody else's server, which redirects.
async fn elsewhere() -> String {
    async fn to(place: String) -> axum::response::Response {
        (axum::http::StatusCode::FOUND, [(LOCATION, place)]).into_response()
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = Router::new()
        .route("/clip.mp4", get(|| async { clip(4) }))
        .route("/to-clip", get(|| to("/clip.mp4".to_owned())))
        .route("/large", get(|| async { vec![0u8; (1 << 20) + 1] }))
        .route("/metadata", get(|| to("http://169.254.169.254/latest/".to_owned())))
        .route("/mapped", get(|| to("http://[::ffff:169.254.169.254]/".to_owned())))
        .route("/file", get(|| to("file:///etc/passwd".to_owned())))
        .route("/name", get(|| to("http://metadata.google.internal/".to_owned())))
        .route("/port", get(|| to("http://127.0.0.1:1/".to_owned())))
        .route("/user", get(move || to(format!("http://me:canary@127.0.0.1:{port}/clip.mp4"))))
        .route("/nowhere", get(|| async { axum::http::StatusCode::FOUND }))
        .route("/loop", get(|| to("/loop".to_owned())));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    format!("http://127.0.0.1:{port}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_checked_like_the_first_address() {
    let url = elsewhere().await;
    let networks = Networks::new(vec!["127.0.0.0/8".parse().unwrap()]);
    let outside = Outside::new(vec![url.parse().unwrap()], networks);
    let stage = Stage::start(Options { outside, ..Options::default() }).await;
    for (page, expected) in [
        ("/clip.mp4", 200),
        ("/to-clip", 200),
        ("/metadata", 403),
        ("/mapped", 403),
        ("/file", 403),
        ("/name", 403),
        ("/port", 403),
        ("/user", 400),
        ("/nowhere", 400),
        ("/loop", 400),
        ("/missing", 404),
        ("/large", 413),
    ] {
        let name = page.trim_start_matches('/').replace('.', "-");
        let request = json!({ "input_uri": format!("{url}{page}"), "output_uri": output(&name) });
        let (status, body) = stage.invoke(&request).await;
        assert_eq!(status, expected, "{page}: {body}");
        assert!(!body.to_string().contains("canary"), "{body}");
        assert_eq!(stage.has(&name).await, expected == 200);
    }
    let stage = Stage::start(Options::default()).await;
    let request = json!({ "input_uri": format!("{url}/clip.mp4"), "output_uri": output("a") });
    assert_eq!(stage.invoke(&request).await.0, 403, "nothing is allowed unless it is said");
}
