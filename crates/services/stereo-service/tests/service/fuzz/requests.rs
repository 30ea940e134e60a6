//! Ten thousand requests that somebody made up, from a grammar of what operations look for.

use parallax_serving::front::Limits;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use reqwest::Method;
use serde_json::{Map, Number, Value, json};

use crate::stage::{Options, Stage};

const REQUESTS: usize = 10_000;

/// Any JSON, with a liking for what operations look for.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|n| json!(n)),
        any::<f64>().prop_map(|n| Number::from_f64(n).map_or(Value::Null, Value::Number)),
        ".{0,40}".prop_map(Value::String),
        address().prop_map(Value::String),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((name(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "input_uri", "s3_input_uri", "output_uri", "s3_output_uri", "mode", "seed",
            "disparity_percent", "convergence", "floating_window", "fill", "storage", "endpoint_url", "access_key_id",
            "secret_access_key", "region", "operation", "input",
        ]).prop_map(str::to_owned),
        1 => ".{0,12}",
    ]
}

fn address() -> impl Strategy<Value = String> {
    prop_oneof![
        "(s3|gs|file|http|https|ftp)://[a-z0-9.@:\\[\\]%]{0,20}/.{0,30}",
        "s3://(input|output)/[a-z0-9/.%*]{0,30}",
        Just("s3://input/segments/none.mp4".to_owned()),
        Just("s3://output/jobs/fuzz/segments/0.mp4".to_owned()),
        ".{0,60}",
    ]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let request = prop::collection::vec((name(), value()), 0..8)
        .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>()));
    prop_oneof![
        6 => request.prop_map(|value| value.to_string().into_bytes()),
        2 => value().prop_map(|value| value.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..200),
        1 => (value(), any::<prop::sample::Index>()).prop_map(|(value, cut)| {
            let mut bytes = value.to_string().into_bytes();
            bytes.truncate(cut.index(bytes.len() + 1));
            bytes
        }),
    ]
}

fn page() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just("/invocations".to_owned()),
        4 => Just("/v1/operations/stereo".to_owned()),
        1 => "/v1/operations/[a-z_%.]{0,12}",
        1 => "/v1/jobs/[a-zA-Z0-9%._/-]{0,40}",
        1 => "/[a-z0-9%./?=&;-]{0,40}",
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn fuzz_ten_thousand_made_up_requests() {
    let stage = Stage::start(Options { limits: Limits::default(), ..Options::default() }).await;
    let good = stage.request("good", 2).await;
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let method = prop::sample::select(vec![
        Method::POST,
        Method::POST,
        Method::POST,
        Method::POST,
        Method::GET,
        Method::DELETE,
        Method::PUT,
        Method::HEAD,
        Method::OPTIONS,
        Method::PATCH,
    ]);
    let request = (method, page(), body());
    let (mut refused, mut served) = (0, 0);
    for _ in 0..REQUESTS {
        let (method, page, body) = request.new_tree(&mut runner).unwrap().current();
        let call = stage.client.request(method.clone(), format!("{}{page}", stage.url));
        let answer = call.body(body.clone()).send().await;
        let shown = || format!("{method} {page} {}", String::from_utf8_lossy(&body));
        let answer = answer.unwrap_or_else(|error| panic!("{}: {error}", shown()));
        let status = answer.status().as_u16();
        assert!(status < 500, "{status} for {}", shown());
        if status >= 400 { refused += 1 } else { served += 1 }
    }
    assert!(refused > REQUESTS / 2, "{refused} refused, {served} served");
    stage.until_taken(0).await;
    assert_eq!(stage.invoke(&good).await.0, 200, "the next good request works");
}
