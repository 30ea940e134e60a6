//! `inference-server` under the worker's backends, as a process.

#![allow(clippy::unwrap_used)]

#[path = "server/animate.rs"]
mod animate;
#[path = "server/secrets.rs"]
mod secrets;
#[path = "server/segment.rs"]
mod segment;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use parallax_aws::{RequestBy, SageMakerAsync, SageMakerSettings};
use parallax_backends::Http;
use parallax_backends::http::Settings;
use parallax_job::{Bucket, Mode, Scheme, Segment, Uri};
use parallax_ports::{InferenceBackend, Invocation, Invoked, Kind, ObjectStore};
use parallax_tests::{Clip, Fault, Hub, Moto, Server, TOKEN, clip, finish, frame_md5s, program};
use sagemaker_emulator::{Endpoint, Faults, router};
use serde_json::json;
use tokio_util::sync::CancellationToken;

const CLIP: Clip = Clip { size: (128, 72), frames: 24, encoder: &["-preset", "ultrafast"] };

fn invocation(mode: Mode, input: Uri, output: Uri) -> Invocation {
    let segment = Segment::new("job-1".parse().unwrap(), 0, 1, mode).unwrap();
    Invocation { segment, attempt: 1, input, output }
}

async fn invoke(server: &Server, invocation: &Invocation) -> parallax_ports::Result<Invoked> {
    let backend = Http::new(&Settings::new(vec![format!("http://{}", server.address)])).unwrap();
    backend.invoke(invocation, &CancellationToken::new()).await
}

/// The same clip, converted by `parallax convert` with these options.
fn converted(clip: &Path, options: &[&str]) -> Vec<String> {
    let output = clip.with_file_name(format!("{}.mp4", options.concat()));
    let mut command = program("parallax");
    command.arg("convert").arg(clip).args(options).arg("--output").arg(&output);
    let done = finish(&mut command);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    frame_md5s(&output)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workers_backend_gets_what_convert_makes_from_files_and_s3() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("input/segments")).unwrap();
    let source = clip(&folder.path().join("input/segments/a.mp4"), CLIP);
    let moto = Moto::start().await;
    let objects = moto.objects(&["input", "output"]).await;
    let server = Server::start(folder.path(), &moto.variables());
    for (mode, layout) in [(Mode::Sbs, "full-sbs"), (Mode::Anaglyph, "anaglyph")] {
        let expected = converted(&source, &["--layout", layout]);
        assert!(expected.len() == 24, "{expected:?}");

        let result = folder.path().join(format!("output/{mode}.mp4"));
        let (input, output) = (Uri::file(&source).unwrap(), Uri::file(&result).unwrap());
        let answer = invoke(&server, &invocation(mode, input, output)).await.unwrap();
        assert_eq!(answer, Invoked::Finished);
        assert_eq!(frame_md5s(&result), expected);

        let input: Uri =
            format!("s3://input/segments/job-1/00000_00001_{mode}.mp4").parse().unwrap();
        let output: Uri = format!("s3://output/jobs/job-1/segments/{mode}.mp4").parse().unwrap();
        objects.upload(&source, &input).await.unwrap();
        let answer = invoke(&server, &invocation(mode, input, output.clone())).await.unwrap();
        assert_eq!(answer, Invoked::Finished);
        let fetched = folder.path().join("fetched.mp4");
        objects.download(&output, &fetched).await.unwrap();
        assert_eq!(frame_md5s(&fetched), expected);
        std::fs::remove_file(fetched).unwrap();
    }
    assert_eq!(server.metric("parallax_serving_frames_total"), 96.0);
    let missing: Uri = "s3://input/segments/none.mp4".parse().unwrap();
    let output: Uri = "s3://output/jobs/job-1/segments/none.mp4".parse().unwrap();
    let error = invoke(&server, &invocation(Mode::Sbs, missing, output.clone())).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
    assert!(objects.head(&output).await.unwrap().is_none());
}

#[test]
fn a_segment_that_declares_two_views_is_refused_by_its_field() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("in")).unwrap();
    let source = folder.path().join("in/a.mp4");
    let mut command = std::process::Command::new("ffmpeg");
    command.args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=64x48:duration=0.2"]);
    command.args(["-c:v", "libx264", "-pix_fmt", "yuv420p", "-x264-params", "frame-packing=3"]);
    assert!(command.arg(&source).status().unwrap().success());
    let server = Server::start(folder.path(), &[("SERVER_PROFILE", "http")]);
    let request = json!({
        "input_uri": Uri::file(&source).unwrap().to_string(),
        "output_uri": Uri::file(folder.path().join("out/a.mp4")).unwrap().to_string(),
        "mode": "sbs",
    });
    let answer = server.post("/invocations", &[], &request.to_string());
    assert_eq!(answer.status, 400, "{answer:?}");
    let said = answer.json().to_string();
    assert!(
        said.contains("already stereoscopic (side by side") && said.contains("input_uri"),
        "{said}"
    );
    assert!(!folder.path().join("out/a.mp4").exists());
}

#[test]
fn a_request_with_options_gets_what_convert_makes_with_them() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("in")).unwrap();
    let source = clip(&folder.path().join("in/a.mp4"), CLIP);
    let server = Server::start(folder.path(), &[("SERVER_PROFILE", "http")]);
    let ask = |page: &str, options: &serde_json::Value| {
        let result = folder.path().join("out/a.mp4");
        let mut request = json!({
            "input_uri": Uri::file(&source).unwrap().to_string(),
            "output_uri": Uri::file(&result).unwrap().to_string(), "mode": "sbs",
        });
        request.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let mut answer = server.post(page, &[], &request.to_string());
        while let Some(place) = answer.header("location").map(str::to_owned) {
            let job = server.get(&place);
            if job.json()["state"] == "succeeded" {
                break;
            }
            assert_ne!(job.json()["state"], "failed", "{job:?}");
            std::thread::sleep(Duration::from_millis(20));
            answer.status = 200;
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        frame_md5s(&result)
    };
    let plain = ask("/invocations", &json!({}));
    for (page, request, options) in [
        ("/invocations", json!({ "convergence": "auto" }), &["--convergence", "auto"][..]),
        ("/invocations", json!({ "fill": "mirror" }), &["--fill", "mirror"]),
        (
            "/v1/operations/stereo",
            json!({ "disparity_percent": 8, "convergence": 0, "floating_window": true }),
            &["--disparity", "8", "--convergence", "0", "--floating-window"],
        ),
        (
            "/v1/operations/stereo",
            json!({ "convergence": "auto", "floating_window": true, "fill": "temporal" }),
            &["--convergence", "auto", "--floating-window", "--fill", "temporal"],
        ),
    ] {
        let found = ask(page, &request);
        assert_eq!(found, converted(&source, options), "{request}");
        assert_ne!(found, plain, "{request} does nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sagemaker_backend_completes_jobs_through_the_emulator() {
    let folder = tempfile::tempdir().unwrap();
    let source = clip(&folder.path().join("a.mp4"), CLIP);
    let moto = Moto::start().await;
    let objects = Arc::new(moto.objects(&["input", "output"]).await);
    let server = Server::start(folder.path(), &moto.variables());
    let settings = sagemaker_emulator::Settings {
        name: "stereo".to_owned(),
        containers: vec![format!("http://{}", server.address)],
        per_instance: 1,
        responses: "s3://output/sagemaker-async-responses/".to_owned(),
        failures: "s3://output/sagemaker-async-failures/".to_owned(),
        faults: Faults { duplicate: 1.0, ..Faults::default() },
    };
    let endpoint = Arc::new(Endpoint::new(settings, objects.clone()).unwrap());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = router(endpoint.clone());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let bucket = Bucket::Cloud { scheme: Scheme::S3, name: "output".to_owned() };
    let by = RequestBy::Object { objects: objects.clone(), bucket };
    let backend = SageMakerAsync::new(
        Moto::aws(&url).await.sagemaker(),
        SageMakerSettings::new("stereo", by),
    );

    let expected = converted(&source, &["--layout", "anaglyph"]);
    let mut places = Vec::new();
    for index in 0..3u32 {
        let input: Uri = format!("s3://input/segments/job-1/{index}.mp4").parse().unwrap();
        // The last one is no video.
        let bytes = if index < 2 { std::fs::read(&source).unwrap() } else { b"text".to_vec() };
        objects.write(&input, &bytes).await.unwrap();
        let output = format!("s3://output/jobs/job-1/segments/{index}.mp4").parse().unwrap();
        let segment = Segment::new("job-1".parse().unwrap(), index, 3, Mode::Anaglyph).unwrap();
        let invocation = Invocation { segment, attempt: 1, input, output };
        backend.prepare(&invocation, &CancellationToken::new()).await.unwrap();
        let accepted = backend.invoke(&invocation, &CancellationToken::new()).await.unwrap();
        let Invoked::Accepted(locations) = accepted else { panic!("an endpoint accepts") };
        places.push((invocation.output, locations));
    }
    while endpoint.stats().in_flight > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let stats = endpoint.stats();
    assert_eq!((stats.succeeded, stats.failed), (2, 1), "{stats:?}");
    for (output, locations) in &places[..2] {
        let fetched = folder.path().join("fetched.mp4");
        objects.download(output, &fetched).await.unwrap();
        assert_eq!(frame_md5s(&fetched), expected);
        std::fs::remove_file(fetched).unwrap();
        let response = objects.read(locations.response.as_ref().unwrap(), 1 << 16).await.unwrap();
        let response: serde_json::Value = serde_json::from_slice(&response).unwrap();
        assert_eq!((&response["status"], &response["frames"]), (&"ok".into(), &24.into()));
    }
    let (output, locations) = &places[2];
    assert!(objects.head(output).await.unwrap().is_none());
    let failure = objects.read(locations.failure.as_ref().unwrap(), 1 << 16).await.unwrap();
    let failure = String::from_utf8(failure).unwrap();
    assert!(failure.contains("400") && failure.contains("not a readable video"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_reaches_a_log_an_answer_or_a_metric() {
    let folder = tempfile::tempdir().unwrap();
    let source = clip(&folder.path().join("a.mp4"), CLIP);
    let moto = Moto::start().await;
    let objects = moto.objects(&["input", "output", "own"]).await;
    let input: Uri = "s3://own/a.mp4".parse().unwrap();
    objects.upload(&source, &input).await.unwrap();
    let variables = [
        ("SERVER_PROFILE", "http"),
        ("SERVER_TOKENS", "canary-of-the-server"),
        ("SERVER_ORIGINS", moto.url()),
        ("SERVER_NETWORKS", "127.0.0.0/8"),
        ("GCS_ACCESS_KEY_ID", "canary-of-gcs"),
        ("GCS_SECRET_ACCESS_KEY", "canary-of-gcs"),
        ("GCS_ENDPOINT_URL", moto.url()),
        ("SERVER_INPUTS", "gs://own,s3://input"),
        ("AWS_ACCESS_KEY_ID", "canary-of-aws"),
        ("AWS_SECRET_ACCESS_KEY", "canary-of-aws"),
        ("AWS_SESSION_TOKEN", "canary-of-aws"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", moto.url()),
        ("LOG_FILTER", "trace"),
    ];
    let server = Server::start(folder.path(), &variables);
    let token = "authorization: Bearer canary-of-the-server";
    let own = |endpoint: &str| {
        json!({ "endpoint_url": endpoint, "access_key_id": "canary-of-the-request",
            "secret_access_key": "canary-of-the-request", "session_token": "canary-of-the-request" })
    };
    let request = |input: &str, storage: serde_json::Value| {
        json!({ "input_uri": input, "output_uri": "s3://own/b.mp4", "mode": "sbs",
            "storage": storage })
        .to_string()
    };
    let mut answers = String::new();
    let mut ask = |headers: &[&str], body: &str, expected: u16| {
        let answer = server.post("/invocations", headers, body);
        assert_eq!(answer.status, expected, "{answer:?}");
        answers.push_str(&format!("{} {}", answer.head, answer.body));
    };
    let good = request("s3://own/a.mp4", own(moto.url()));
    ask(&[token], &good, 200);
    assert!(objects.head(&"s3://own/b.mp4".parse().unwrap()).await.unwrap().is_some());
    // The same object through the other interface, written to the request's own store.
    ask(&[token], &request("gs://own/a.mp4", own(moto.url())), 200);
    ask(&[], &good, 401);
    ask(&["authorization: Bearer canary-of-a-guess"], &good, 401);
    ask(&[token], &request("s3://own/none.mp4", own(moto.url())), 404);
    ask(&[token], &request("s3://own/a.mp4", own("http://127.0.0.1:1")), 403);
    ask(&[token], &request("s3://own/a.mp4", own("http://user:canary@127.0.0.1:1")), 400);
    ask(&[token], &request("s3://own/a.mp4", json!("canary")), 400);
    ask(&[token], &request("s3://own/a.mp4", json!({ "endpoint_url": "canary" })), 400);
    let mut odd = own(moto.url());
    odd["access_key_id"] = json!(["canary"]);
    ask(&[token], &request("s3://own/a.mp4", odd), 400);
    // None of these can stand in a header.
    for field in ["access_key_id", "secret_access_key", "session_token", "region"] {
        let mut odd = own(moto.url());
        odd[field] = json!("canary\ncanary");
        ask(&[token], &request("s3://own/a.mp4", odd), 400);
    }
    ask(&[token], &request("https://a.example/?token=canary", json!(null)), 403);
    ask(&[token], &request("s3://elsewhere/a.mp4", json!(null)), 403);
    ask(&[token], "{\"input_uri\": \"canary", 400);
    answers.push_str(&server.get("/openapi.json").body);
    answers.push_str(&server.metrics());
    let (stdout, log) = server.process.said();
    assert!(log.contains("effective configuration") && log.contains("converted"), "{log}");
    for (what, text) in [("answers", &answers), ("output", &stdout), ("log", &log)] {
        let line = text.lines().find(|line| line.contains("canary"));
        assert_eq!(line, None, "{what}");
    }
}

#[test]
fn more_requests_take_no_more_memory() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("in")).unwrap();
    // Two megabytes of pictures: whoever kept those of every request would have fifty more in the end.
    let size = Clip { size: (320, 180), ..CLIP };
    let source = clip(&folder.path().join("in/a.mp4"), size);
    let server = Server::start(folder.path(), &[]);
    let ask = |number: u32| {
        let result = folder.path().join(format!("out/{number}.mp4"));
        let body = json!({
            "input_uri": Uri::file(&source).unwrap().to_string(),
            "output_uri": Uri::file(&result).unwrap().to_string(), "mode": "sbs",
        });
        let answer = server.post("/invocations", &[], &body.to_string());
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    (0..8).for_each(ask);
    let before = server.process.usage().peak_memory_bytes >> 20;
    (8..32).for_each(ask);
    let after = server.process.usage().peak_memory_bytes >> 20;
    println!("{before} MiB, then {after} MiB");
    assert!(after < before + 16, "{before} MiB, then {after} MiB");
}

#[test]
fn sigterm_drains() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("in")).unwrap();
    // So long that it is seen to run.
    let source = clip(&folder.path().join("in/a.mp4"), Clip { frames: 500, ..CLIP });
    let server = Server::start(folder.path(), &[]);
    let body = json!({
        "input_uri": Uri::file(&source).unwrap().to_string(),
        "output_uri": Uri::file(folder.path().join("out/a.mp4")).unwrap().to_string(),
    });
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| server.post("/invocations", &[], &body.to_string()));
        let health = || server.post("/invocations", &[], "{\"operation\": \"health\"}").json();
        while health()["running"] != true {
            std::thread::sleep(Duration::from_millis(5));
        }
        server.process.signal(Signal::SIGTERM);
        let answer = asking.join().unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    });
    assert!(folder.path().join("out/a.mp4").is_file());
    let finished = server.process.wait();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(finished.stderr.contains("\"drained\""), "{}", finished.stderr);
    let left: Vec<_> = folder.path().join(".scratch").read_dir().unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_cannot_work_ends_the_start_with_one_reason() {
    let folder = tempfile::tempdir().unwrap();
    for (variables, named) in [
        (&[("SERVER_FILE_ROOTS", "/nowhere/at/all")][..], "SERVER_FILE_ROOTS"),
        (&[("SERVER_PROFILE", "http"), ("SERVER_ADDRESS", "0.0.0.0:0")], "SERVER_TOKENS"),
        (&[("SERVER_ENGINE", "draft"), ("SERVER_DEVICE", "cuda")], "SERVER_DEVICE"),
        (&[("SERVER_ADDRESS", "192.0.2.1:1")], "SERVER_ADDRESS 192.0.2.1:1"),
    ] {
        let mut command = program("inference-server");
        command.env_remove("AWS_REGION").env("SERVER_ENGINE", "copy");
        command.env("SERVER_SCRATCH", folder.path()).env("HEALTH_ADDRESS", "127.0.0.1:0");
        command.env("SERVER_ADDRESS", "127.0.0.1:0").envs(variables.iter().copied());
        let finished = finish(&mut command);
        assert_ne!(finished.code, Some(0), "{named}");
        let last = finished.stderr.lines().last().unwrap_or_default();
        assert!(last.contains(named), "{named}: {}", finished.stderr);
    }
}

#[test]
fn the_health_check_of_the_image_asks_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[("SERVER_ENGINE", "copy")]);
    let Server { process, health, .. } = server;
    let ask = || {
        let mut command = program("inference-server");
        finish(command.env("HEALTH_ADDRESS", &health).arg("healthy"))
    };
    assert_eq!(ask().code, Some(0));
    process.signal(Signal::SIGKILL);
    process.wait();
    let dead = ask();
    assert_eq!(dead.code, Some(1));
    assert!(dead.error().contains(&health), "{}", dead.stderr);
}

/// Models of a few hundred kilobytes in `dir`, and as a hub names their files.
fn tiny_models(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let made = finish(program("parallax-tiny-weights").arg(dir));
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let mut files = Vec::new();
    for (folder, repository) in [
        ("stable-video-diffusion-img2vid-xt-1-1", "stabilityai"),
        ("DepthCrafter", "tencent"),
        ("StereoCrafter", "TencentARC"),
    ] {
        let mut folders = vec![dir.join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in folder.read_dir().unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let name = path.strip_prefix(dir).unwrap().display();
                files.push((format!("{repository}/{name}"), std::fs::read(&path).unwrap()));
            }
        }
    }
    files
}

#[test]
fn weights_come_from_the_hub_and_the_engine_gives_what_convert_makes() {
    let folder = tempfile::tempdir().unwrap();
    let (made, weights) = (folder.path().join("made"), folder.path().join("weights"));
    let hub = Hub::start(tiny_models(&made));
    hub.fail(
        "tencent/DepthCrafter/diffusion_pytorch_model.safetensors",
        [Fault::CutAfter(1000), Fault::Flip],
    );
    let variables = [
        ("SERVER_ENGINE", "stereocrafter"),
        ("SERVER_DEVICE", "cpu"),
        ("SERVER_STEPS", "2"),
        ("WEIGHTS_DIR", weights.to_str().unwrap()),
        ("HF_ENDPOINT", hub.address()),
        ("HF_TOKEN", TOKEN),
    ];
    std::fs::create_dir_all(folder.path().join("in")).unwrap();
    let size = Clip { size: (128, 64), frames: 6, encoder: &["-preset", "ultrafast"] };
    let source = clip(&folder.path().join("in/a.mp4"), size);
    let server = Server::start(folder.path(), &variables);
    let result = folder.path().join("out/a.mp4");
    let body = json!({
        "input_uri": Uri::file(&source).unwrap().to_string(),
        "output_uri": Uri::file(&result).unwrap().to_string(),
        "mode": "sbs", "seed": 7,
    });
    let answer = server.post("/invocations", &[], &body.to_string());
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["engine"], "stereocrafter");
    let mut other: serde_json::Value = serde_json::from_str(&body.to_string()).unwrap();
    other["fill"] = json!("temporal");
    let refused = server.post("/invocations", &[], &other.to_string());
    assert_eq!((refused.status, &refused.json()["field"]), (400, &json!("fill")), "{refused:?}");
    assert!(refused.body.contains("stereocrafter"), "{refused:?}");
    let expected = folder.path().join("expected.mp4");
    let mut command = program("parallax");
    command.arg("convert").arg(&source).args(["--engine", "stereocrafter", "--steps", "2"]);
    command.args(["--seed", "7", "--weights"]).arg(&weights).arg("--output").arg(&expected);
    let done = finish(&mut command);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(frame_md5s(&result), frame_md5s(&expected));
    let (_, log) = server.process.said();
    assert!(log.contains("downloaded and verified"), "{log}");
    let forbidden = "the weights of StereoCrafter are not for commercial use";
    assert!(log.contains(forbidden) && log.contains("Stability AI Community License"), "{log}");
    let shown = format!("{log}{}{}", server.metrics(), answer.body);
    assert!(!shown.contains(TOKEN));
    drop(server);

    // What is there needs neither a hub nor a token.
    let asked = hub.asked().len();
    let offline = [("HF_HUB_OFFLINE", "1"), ("HF_TOKEN", "")];
    drop(Server::start(folder.path(), &[&variables[..4], &offline[..]].concat()));
    assert_eq!(hub.asked().len(), asked);

    // Models for which there is no room end the start, too: better than every request.
    let mut command = program("inference-server");
    command.envs(variables[..4].iter().copied()).envs(offline);
    command.env("SERVER_SCRATCH", folder.path()).env("SERVER_MEMORY_LIMIT_MIB", "1");
    command.env("SERVER_ADDRESS", "127.0.0.1:0").env("HEALTH_ADDRESS", "127.0.0.1:0");
    let finished = finish(&mut command);
    assert_ne!(finished.code, Some(0));
    let last = finished.stderr.lines().last().unwrap_or_default();
    assert!(last.contains("bytes at least; 1048576 are allowed"), "{last}");

    what_cannot_be_had_ends_the_start(folder.path(), hub.address());
}

/// Starts with no weights and none to be had end with one reason.
fn what_cannot_be_had_ends_the_start(folder: &Path, hub: &str) {
    let nowhere = folder.join("nowhere");
    for (variables, named) in [
        ([("HF_ENDPOINT", hub), ("HF_TOKEN", "hf_canary_wrong")], "answered 403"),
        ([("HF_HUB_OFFLINE", "1"), ("HF_TOKEN", "hf_canary_wrong")], "HF_HUB_OFFLINE"),
    ] {
        let mut command = program("inference-server");
        command.env("SERVER_ENGINE", "stereocrafter").env("SERVER_DEVICE", "cpu");
        command.env("WEIGHTS_DIR", &nowhere).env("SERVER_SCRATCH", folder);
        command.env("SERVER_ADDRESS", "127.0.0.1:0").env("HEALTH_ADDRESS", "127.0.0.1:0");
        let finished = finish(command.envs(variables));
        assert_ne!(finished.code, Some(0));
        let last = finished.stderr.lines().last().unwrap_or_default();
        assert!(last.contains("WEIGHTS_DIR") && last.contains(named), "{named}: {last}");
        assert!(!finished.stderr.contains("canary"), "{}", finished.stderr);
    }
}
