//! Every backend of this crate keeps the port's promises, and the stub its own.

// Helpers fail like the tests that call them.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use parallax_backends::http::Settings;
use parallax_backends::{Http, Stub};
use parallax_conformance::backend;
use parallax_conformance::memory::MemoryObjects;
use parallax_job::{JobId, Mode, Segment, Timestamp, Uri};
use parallax_ports::{
    InferenceBackend, Invocation, Invoked, Kind, ObjectStore, SystemClock, TokioClock,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

fn invocation() -> Invocation {
    Invocation {
        segment: Segment::new("job-1".parse().unwrap(), 2, 7, Mode::Sbs).unwrap(),
        attempt: 1,
        input: "s3://input/segments/job-1/00002_00007_sbs.mp4".parse().unwrap(),
        output: "s3://output/jobs/job-1/segments/2.mp4".parse().unwrap(),
    }
}

async fn objects_with_a_segment() -> Arc<MemoryObjects> {
    let objects = Arc::new(MemoryObjects::new(Arc::new(SystemClock), Vec::new()));
    objects.write(&invocation().input, b"pixels").await.unwrap();
    objects
}

#[tokio::test]
async fn the_stub_keeps_the_promises_of_a_backend() {
    let objects = objects_with_a_segment().await;
    let backend = Arc::new(Stub::new(objects.clone()));
    let invocation = invocation();
    backend::all(&backend::Setup { backend, objects, invocation, looks: true }).await;
}

#[tokio::test]
async fn the_http_backend_keeps_the_promises_of_a_backend() {
    for accepts in [false, true] {
        let objects = objects_with_a_segment().await;
        let url = serve(objects.clone(), accepts).await;
        let backend = Arc::new(Http::new(&Settings::new(vec![url])).unwrap());
        let invocation = invocation();
        backend::all(&backend::Setup { backend, objects, invocation, looks: true }).await;
    }
}

/// A server that copies, as the contract asks. Where it `accepts`, it says so before it is done.
async fn serve(objects: Arc<MemoryObjects>, accepts: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(convert(stream, objects.clone(), accepts));
        }
    });
    url
}

async fn convert(mut stream: TcpStream, objects: Arc<MemoryObjects>, accepts: bool) {
    let Some(body) = read_request(&mut stream).await else { return };
    let address = |name: &str| -> Uri { body[name].as_str().unwrap().parse().unwrap() };
    let found = objects.read(&address("input_uri"), 100).await;
    let status = match (&found, accepts) {
        (Err(_), _) => "400 Bad Request",
        (Ok(_), true) => "202 Accepted",
        (Ok(_), false) => "200 OK",
    };
    if let (Ok(pixels), false) = (&found, accepts) {
        objects.write(&address("output_uri"), pixels).await.unwrap();
    }
    let reply = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(reply.as_bytes()).await.unwrap();
    if let (Ok(pixels), true) = (&found, accepts) {
        objects.write(&address("output_uri"), pixels).await.unwrap();
    }
}

/// The request's body; `None` when the client left.
async fn read_request(stream: &mut TcpStream) -> Option<serde_json::Value> {
    let mut bytes = Vec::new();
    loop {
        let mut some = [0; 4096];
        let n = stream.read(&mut some).await.ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&some[..n]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((_, body)) = text.split_once("\r\n\r\n") else { continue };
        if let Ok(body) = serde_json::from_str(body) {
            return Some(body);
        }
    }
}

#[tokio::test]
async fn the_result_is_the_segment_and_a_missing_one_is_not_found() {
    let clock = Arc::new(TokioClock::starting_at(Timestamp(0)));
    let objects = Arc::new(MemoryObjects::new(clock, Vec::new()));
    let job: JobId = "j".parse().unwrap();
    let invocation = Invocation {
        segment: Segment::new(job, 0, 1, Mode::Sbs).unwrap(),
        attempt: 1,
        input: "s3://bucket/in".parse().unwrap(),
        output: "s3://bucket/out".parse().unwrap(),
    };
    let stub = Stub::new(objects.clone());
    let cancel = CancellationToken::new();
    let error = stub.invoke(&invocation, &cancel).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert_eq!(objects.head(&invocation.output).await.unwrap(), None);
    objects.write(&invocation.input, b"pixels").await.unwrap();
    assert_eq!(stub.invoke(&invocation, &cancel).await.unwrap(), Invoked::Written);
    assert_eq!(objects.read(&invocation.output, 100).await.unwrap(), b"pixels");
    cancel.cancel();
    let error = stub.invoke(&invocation, &cancel).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
}
