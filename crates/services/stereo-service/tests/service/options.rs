//! What a request may ask of the pairs.

use parallax_stereo::{Error, Fill, Rendering, Run, Staging};
use serde_json::json;

use crate::stage::{Options, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn every_front_hands_the_engine_what_was_asked() {
    let stage = Stage::start(Options::default()).await;
    let mut request = stage.request("a", 3).await;
    assert_eq!(stage.invoke(&request).await.0, 200);
    let begun = || stage.gate.run.lock().unwrap().clone().unwrap();
    assert_eq!((begun().staging, begun().rendering), Default::default());

    request["convergence"] = json!("auto");
    request["floating_window"] = json!(true);
    request["fill"] = json!("temporal");
    let staging = Staging { auto_convergence: true, floating_window: true, ..Staging::default() };
    let rendering = Rendering { fill: Fill::Temporal, ..Rendering::default() };
    assert_eq!(stage.invoke(&request).await.0, 200);
    assert_eq!(stage.gate.starts(), 2, "another request is another run");
    assert_eq!((begun().staging, begun().rendering), (staging, rendering));
    assert_eq!(stage.invoke(&request).await.0, 200);
    assert_eq!(stage.gate.starts(), 2, "the same again is the same result");

    request["fill"] = json!("smooth");
    let (status, job) = stage.post("/v1/operations/stereo", &request).await;
    assert_eq!(status, 202, "{job}");
    let page = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    while stage.get(&page).await.1["state"] != "succeeded" {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!((begun().staging, begun().rendering.fill), (staging, Fill::Smooth));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_engine_does_not_do_is_refused_with_the_field() {
    fn check(run: &Run) -> Result<(), Error> {
        match run.rendering.fill {
            Fill::Continue => Ok(()),
            _ => Err(Error::Unsupported("this engine fills holes by itself".to_owned())),
        }
    }
    let stage = Stage::start(Options { check, ..Options::default() }).await;
    let mut request = stage.request("a", 3).await;
    request["fill"] = json!("temporal");
    for page in ["/invocations", "/v1/operations/stereo"] {
        let (status, body) = stage.post(page, &request).await;
        assert_eq!((status, &body["field"]), (400, &json!("fill")), "{body}");
        let text = body["error"].as_str().unwrap();
        assert!(
            text.contains("\"temporal\": this engine") && text.contains("\"continue\""),
            "{text}"
        );
    }
    assert_eq!(stage.gate.starts(), 0);
    request["fill"] = json!("continue");
    assert_eq!(stage.invoke(&request).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_has_the_options_and_what_they_may_be() {
    let stage = Stage::start(Options::default()).await;
    let (_, document) = stage.get("/openapi.json").await;
    let post = &document["paths"]["/v1/operations/stereo"]["post"];
    let fields = &post["requestBody"]["content"]["application/json"]["schema"]["properties"];
    let convergence = fields["convergence"].to_string();
    assert!(convergence.contains("\"auto\"") && convergence.contains("\"maximum\":1"), "{fields}");
    assert_eq!(fields["floating_window"]["type"], "boolean", "{fields}");
    let fill = fields["fill"].to_string();
    for name in ["black", "stretch", "mirror", "continue", "smooth", "temporal"] {
        assert!(fill.contains(&format!("\"{name}\"")), "{fill}");
    }
}
