//! The same request twice.

use std::time::Duration;

use parallax_ports::ObjectStore;

use crate::stage::{Options, Stage, clip, output, until};

#[tokio::test(flavor = "multi_thread")]
async fn the_same_segment_asked_twice_is_converted_once() {
    let stage = Stage::start(Options { places: 1, ..Options::default() }).await;
    stage.gate.shut();
    let request = stage.request("a", 5).await;
    let mut older = request.clone();
    // The older spelling names the same.
    let fields = older.as_object_mut().unwrap();
    for (name, old) in [("input_uri", "s3_input_uri"), ("output_uri", "s3_output_uri")] {
        let value = fields.remove(name).unwrap();
        fields.insert(old.to_owned(), value);
    }
    let send = |request: &serde_json::Value| {
        let call = stage.client.post(format!("{}/invocations", stage.url));
        tokio::spawn(call.body(request.to_string()).send())
    };
    let first = send(&request);
    until(|| stage.gate.starts() == 1).await;
    // One place is all there is: the second could not be here otherwise.
    let second = send(&older);
    until(|| stage.counts.of("parallax_serving_shared_requests_total") == 1).await;
    assert!(!second.is_finished());
    // Who leaves does not take the run along.
    first.abort();
    let _ = first.await;
    stage.gate.open();
    let answer = second.await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(stage.gate.starts(), 1);

    let (status, again) = stage.invoke(&request).await;
    assert_eq!((status, again["status"].as_str()), (200, Some("ok")));
    assert_eq!(stage.gate.starts(), 1, "what is there is not made again");

    let mut other = request.clone();
    other["seed"] = 1.into();
    assert_eq!(stage.invoke(&other).await.0, 200);
    assert_eq!(stage.gate.starts(), 2, "another request is another run");
    assert_eq!(stage.invoke(&request).await.0, 200);
    assert_eq!(stage.gate.starts(), 3, "the result is no longer this request's");

    stage.objects.delete(&output("a").parse().unwrap()).await.unwrap();
    assert_eq!(stage.invoke(&request).await.0, 200);
    assert_eq!(stage.gate.starts(), 4, "what is gone is made again");
    assert!(stage.has("a").await);

    let input = "s3://input/segments/a.mp4".parse().unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    stage.objects.write(&input, &clip(7)).await.unwrap();
    let (_, answer) = stage.invoke(&request).await;
    assert_eq!(answer["frames"], 7, "another segment is another run");
    assert_eq!(stage.gate.starts(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_not_remembered() {
    let stage = Stage::start(Options::default()).await;
    let request = stage.request("a", 3).await;
    let input = "s3://input/segments/a.mp4".parse().unwrap();
    let good = stage.objects.read(&input, 1 << 20).await.unwrap();
    stage.objects.write(&input, b"no video").await.unwrap();
    let (status, body) = stage.invoke(&request).await;
    assert_eq!(status, 400);
    let text = body["error"].as_str().unwrap();
    assert!(text.contains("the segment") && !text.contains('/'), "{text}");
    stage.objects.write(&input, &good).await.unwrap();
    assert_eq!(stage.invoke(&request).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_finds_what_was_made_for_the_very_same_request() {
    let first = Stage::start(Options::default()).await;
    let request = first.request("a", 5).await;
    let (_, made) = first.invoke(&request).await;
    assert_eq!(made["status"], "ok", "{made}");
    let objects = first.objects.clone();
    drop(first);
    let restart = async |recipe| {
        let objects = Some(objects.clone());
        Stage::start(Options { objects, recipe, ..Options::default() }).await
    };
    let second = restart("gate").await;
    assert_eq!(second.invoke(&request).await, (200, made.clone()));
    assert_eq!(second.gate.starts(), 0, "what is there is not made again");
    let (status, job) = second.post("/v1/operations/stereo", &request).await;
    assert_eq!(status, 202, "{job}");
    assert_eq!(second.gate.starts(), 0);

    let mut other = request.clone();
    other["seed"] = 1.into();
    let changed = restart("other weights").await;
    assert_eq!(changed.invoke(&request).await.0, 200);
    assert_eq!(changed.gate.starts(), 1, "another recipe is another result");
    assert_eq!(changed.invoke(&other).await.0, 200);
    assert_eq!(changed.gate.starts(), 2, "another request is another result");

    // Whatever else lies there is nobody's result, whoever put it there.
    let output = output("a").parse().unwrap();
    let third = restart("gate").await;
    let bytes = objects.read(&output, 1 << 20).await.unwrap();
    objects.write(&output, &bytes).await.unwrap();
    assert_eq!(third.invoke(&request).await.0, 200);
    assert_eq!(third.gate.starts(), 1, "an object without a note");
    tokio::time::sleep(Duration::from_millis(5)).await;
    let input = "s3://input/segments/a.mp4".parse().unwrap();
    objects.write(&input, &clip(7)).await.unwrap();
    let fourth = restart("gate").await;
    assert_eq!(fourth.invoke(&request).await.1["frames"], 7, "another segment");
    for note in ["{}", "no JSON", "{\"request\": \"x\"}"] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        objects.upload_noted(file.path(), &output, note).await.unwrap();
        let fifth = restart("gate").await;
        assert_eq!(fifth.invoke(&request).await.0, 200);
        assert_eq!(fifth.gate.starts(), 1, "{note}");
    }
}
