//! The real backend over the real SDK against the emulator.

// Helpers fail like the tests that call them.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use axum::extract::State;
use axum::routing::post;
use parallax_aws::{Aws, RequestBy, SageMakerAsync, SageMakerSettings};
use parallax_conformance::backend;
use parallax_conformance::memory::MemoryObjects;
use parallax_job::{Bucket, Mode, Scheme, Segment, Uri};
use parallax_ports::{
    InferenceBackend, Invocation, Invoked, Kind, Locations, ObjectStore, SystemClock,
};
use sagemaker_emulator::{Endpoint, Faults, Settings, Stats, router};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

struct Stage {
    objects: Arc<MemoryObjects>,
    endpoint: Arc<Endpoint>,
    backend: SageMakerAsync,
    /// Lets containers finish.
    go: Arc<Semaphore>,
}

async fn serve(app: axum::Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

/// A container that writes its output, as the contract asks, once it may.
async fn container(objects: Arc<MemoryObjects>, go: Arc<Semaphore>) -> String {
    async fn run(
        State((objects, go)): State<(Arc<MemoryObjects>, Arc<Semaphore>)>,
        body: axum::Json<serde_json::Value>,
    ) -> axum::Json<serde_json::Value> {
        assert_eq!(body["mode"], "sbs");
        let output: Uri = body["s3_output_uri"].as_str().unwrap().parse().unwrap();
        go.acquire().await.unwrap().forget();
        objects.write(&output, b"stereo").await.unwrap();
        axum::Json(serde_json::json!({ "status": "ok" }))
    }
    serve(axum::Router::new().route("/invocations", post(run)).with_state((objects, go))).await
}

async fn stage(faults: Faults, inline: bool, name_responses: bool) -> Stage {
    let stage = held(faults, inline, name_responses).await;
    stage.go.add_permits(1000);
    stage
}

/// The same with containers that wait.
async fn held(faults: Faults, inline: bool, name_responses: bool) -> Stage {
    let go = Arc::new(Semaphore::new(0));
    let objects = Arc::new(MemoryObjects::new(Arc::new(SystemClock), Vec::new()));
    let settings = Settings {
        name: "stereo".to_owned(),
        containers: vec![
            container(objects.clone(), go.clone()).await,
            container(objects.clone(), go.clone()).await,
        ],
        per_instance: 1,
        responses: "s3://output/sagemaker-async-responses/".to_owned(),
        failures: "s3://output/sagemaker-async-failures/".to_owned(),
        faults,
    };
    let endpoint = Arc::new(Endpoint::new(settings, objects.clone()).unwrap());
    let url = serve(router(endpoint.clone())).await;
    let aws = parallax_aws::Settings {
        region: Some("eu-west-1".to_owned()),
        endpoint_url: Some(url),
        ..parallax_aws::Settings::default()
    };
    let credentials = Credentials::new("test", "test", None, None, "tests");
    let aws = Aws::load(&aws).await.with_credentials(credentials);
    let bucket = Bucket::Cloud { scheme: Scheme::S3, name: "output".to_owned() };
    let request_by = match inline {
        true => RequestBy::Inline,
        false => RequestBy::Object { objects: objects.clone(), bucket },
    };
    let settings =
        SageMakerSettings { name_responses, ..SageMakerSettings::new("stereo", request_by) };
    settings.validate().unwrap();
    Stage { objects, endpoint, backend: SageMakerAsync::new(aws.sagemaker(), settings), go }
}

fn invocation(index: u32) -> Invocation {
    Invocation {
        segment: Segment::new("job-1".parse().unwrap(), index, 9, Mode::Sbs).unwrap(),
        attempt: 1,
        input: format!("s3://input/segments/job-1/0000{index}_00009_sbs.mp4").parse().unwrap(),
        output: format!("s3://output/jobs/job-1/segments/{index}.mp4").parse().unwrap(),
    }
}

impl Stage {
    async fn invoke(&self, index: u32) -> parallax_ports::Result<Locations> {
        let cancel = CancellationToken::new();
        self.backend.prepare(&invocation(index), &cancel).await?;
        match self.backend.invoke(&invocation(index), &cancel).await? {
            Invoked::Accepted(locations) => Ok(locations),
            Invoked::Finished | Invoked::Written => panic!("an endpoint only accepts"),
        }
    }

    async fn until(&self, done: impl Fn(&Stats) -> bool) -> Stats {
        let wait = async {
            loop {
                let stats = self.endpoint.stats();
                if done(&stats) {
                    return stats;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), wait).await.expect("the endpoint gets on")
    }

    async fn bytes(&self, uri: &Option<Uri>) -> Option<Vec<u8>> {
        self.objects.read(uri.as_ref().unwrap(), 1 << 16).await.ok()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_keeps_the_promises_of_a_backend() {
    for inline in [false, true] {
        let Stage { objects, backend, .. } = stage(Faults::default(), inline, false).await;
        let backend = Arc::new(backend);
        let setup = backend::Setup { backend, objects, invocation: invocation(3), looks: false };
        backend::all(&setup).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_by_object_and_inline_end_in_a_response() {
    for (inline, named) in [(false, false), (true, false), (true, true)] {
        let s = stage(Faults::default(), inline, named).await;
        let places = s.invoke(3).await.unwrap();
        s.until(|stats| stats.succeeded == 1 && stats.in_flight == 0).await;
        assert_eq!(s.bytes(&Some(invocation(3).output)).await.unwrap(), b"stereo");
        assert_eq!(s.bytes(&places.response).await.unwrap(), br#"{"status":"ok"}"#);
        assert_eq!(s.bytes(&places.failure).await, None);
        let request: Uri =
            "s3://output/sagemaker-invocation-requests/job-1/3.json".parse().unwrap();
        assert_eq!(s.objects.head(&request).await.unwrap().is_some(), !inline);
        let response = places.response.unwrap().to_string();
        assert_eq!(response.ends_with("/sagemaker-async-responses/job-1/9/3/1/r.out"), named);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_share_the_work_and_run_one_each() {
    let s = held(Faults { duplicate: 1.0, ..Faults::default() }, true, false).await;
    for index in 0..6 {
        s.invoke(index).await.unwrap();
    }
    s.until(|stats| stats.max_running == 2).await;
    s.go.add_permits(6);
    let stats = s.until(|stats| stats.succeeded == 6 && stats.in_flight == 0).await;
    assert_eq!((stats.accepted, stats.max_running, stats.max_in_flight), (6, 2, 6));
    assert!(stats.repeated.is_empty(), "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_told_from_answers_that_were_lost() {
    for (faults, kind, accepted) in [
        (Faults { throttle: 1.0, ..Faults::default() }, Kind::Throttled, 0),
        (Faults { unavailable: 1.0, ..Faults::default() }, Kind::Unavailable, 0),
        (Faults { broken_reply: 1.0, ..Faults::default() }, Kind::Timeout, 1),
        (Faults { lost_reply: 1.0, ..Faults::default() }, Kind::Timeout, 1),
    ] {
        let s = stage(faults, true, false).await;
        let error = s.invoke(0).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{faults:?}: {}", error.chain());
        let stats = s.until(|stats| stats.in_flight == 0).await;
        assert_eq!(stats.accepted, accepted, "never asked twice");
        assert_eq!(stats.succeeded, accepted, "what was accepted is run");
    }
    let s = stage(Faults::default(), true, false).await;
    let cancel = CancellationToken::new();
    cancel.cancel();
    let error = s.backend.prepare(&invocation(0), &cancel).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
    assert_eq!(s.endpoint.stats().accepted, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_written_and_dropped_requests_are_not() {
    let s = stage(Faults { fail: 1.0, ..Faults::default() }, true, false).await;
    let places = s.invoke(0).await.unwrap();
    s.until(|stats| stats.failed == 1 && stats.in_flight == 0).await;
    assert!(s.bytes(&places.failure).await.is_some());
    assert_eq!(s.bytes(&places.response).await, None);
    for faults in
        [Faults { drop: 1.0, ..Faults::default() }, Faults { silent: 1.0, ..Faults::default() }]
    {
        let s = stage(faults, true, false).await;
        let places = s.invoke(0).await.unwrap();
        s.until(|stats| stats.in_flight == 0).await;
        assert_eq!(s.bytes(&places.response).await, None, "{faults:?}");
        assert_eq!(s.bytes(&places.failure).await, None, "{faults:?}");
        let output = s.bytes(&Some(invocation(0).output)).await;
        assert_eq!(output.is_some(), faults.silent > 0.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_not_there_blames_no_job() {
    let s = stage(Faults::default(), true, false).await;
    let url = serve(router(s.endpoint.clone())).await;
    let settings = parallax_aws::Settings {
        region: Some("eu-west-1".to_owned()),
        endpoint_url: Some(url),
        ..parallax_aws::Settings::default()
    };
    let credentials = Credentials::new("test", "test", None, None, "tests");
    let aws = Aws::load(&settings).await.with_credentials(credentials);
    let other = SageMakerSettings::new("elsewhere", RequestBy::Inline);
    let backend = SageMakerAsync::new(aws.sagemaker(), other);
    let error = backend.invoke(&invocation(0), &CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized, "{}", error.chain());
    assert!(error.chain().contains("elsewhere"), "{}", error.chain());
}
