//! Conversion metrics as they go over the wire. The emulator does not speak CloudWatch's present
//! protocol, so the request itself is looked at.

// Helpers fail like the tests that call them.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use aws_credential_types::Credentials;
use parallax_aws::{Aws, ConversionMetrics, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Takes one request and answers that all is well.
async fn take(listener: TcpListener) -> Vec<u8> {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    loop {
        let mut some = [0; 4096];
        let n = stream.read(&mut some).await.unwrap();
        request.extend_from_slice(&some[..n]);
        let Some(end) = request.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
        let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).unwrap();
        if request.len() >= end + 4 + length.parse::<usize>().unwrap() {
            break;
        }
    }
    let head =
        b"HTTP/1.1 200 OK\r\nsmithy-protocol: rpc-v2-cbor\r\ncontent-length: 2\r\n\r\n\xbf\xff";
    stream.write_all(head).await.unwrap();
    request
}

#[tokio::test]
async fn conversions_are_reported_under_the_deployed_names() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = Settings {
        region: Some("eu-west-1".to_owned()),
        endpoint_url: Some(format!("http://{}", listener.local_addr().unwrap())),
        ..Settings::default()
    };
    let credentials = Credentials::new("test", "test", None, None, "tests");
    let aws = Aws::load(&settings).await.with_credentials(credentials);
    let metrics = ConversionMetrics::new(aws.cloudwatch(), "StereoSpot/Conversion");
    let report = metrics.converted(Duration::from_millis(77_500), 50_000_000);
    let (request, ()) = tokio::join!(take(listener), report);
    let text = String::from_utf8_lossy(&request);
    for name in [
        "PutMetricData",
        "StereoSpot/Conversion",
        "SegmentConversionDurationSeconds",
        "ConversionSecondsPerMb",
        "Cloud",
        "SegmentSizeBucket",
        "50+",
    ] {
        assert!(text.contains(name), "{name} is missing in {text}");
    }
}
