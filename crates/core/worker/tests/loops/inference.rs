//! Outcomes that become known through an endpoint's topics.

use std::sync::Arc;
use std::time::Duration;

use parallax_ports::ledger::{SegmentRow, SegmentState};
use parallax_ports::{Ledger, Locations, ObjectStore, Queue};
use parallax_worker::Role;

use crate::stage::{Endpoint, Stage};

struct World(Stage);

impl World {
    async fn new() -> Self {
        let stage = Stage::new();
        stage.job("job", 3).await;
        Self(stage)
    }

    /// An attempt at segment `index` of three that the endpoint has accepted.
    async fn invoked(&self, index: u32, locations: Locations) -> SegmentRow {
        self.0.invoked(&Stage::segment("job", index, 3), locations).await
    }

    /// One whose answer was lost.
    async fn unanswered(&self, index: u32) -> SegmentRow {
        self.0.intended(&Stage::segment("job", index, 3)).await
    }

    /// Delivers messages to the output-events loop, alone, and lets it finish.
    async fn deliver(&self, bodies: &[String]) {
        for body in bodies {
            self.0.events.send(body, &[]).await.unwrap();
        }
        let ports = self.0.ports(Arc::new(Endpoint));
        let time = Duration::from_secs(60);
        self.0.run(ports, self.0.config(), &[Role::OutputEvents], time).await;
    }

    async fn permits(&self) -> usize {
        self.0.ledger.holders().await.unwrap().len()
    }
}

fn message(status: &str, id: &str, more: &str) -> String {
    format!(
        r#"{{"eventName":"InferenceResult","invocationStatus":"{status}","inferenceId":"{id}",
            "failureReason":"out of memory"{more}}}"#
    )
}

#[tokio::test(start_paused = true)]
async fn a_result_is_matched_by_location_name_or_request_and_proven_by_its_object() {
    let world = World::new().await;
    let at = |n| Locations { response: format!("s3://output/r{n}").parse().ok(), failure: None };
    let mut rows = Vec::new();
    for index in 0..3 {
        let row = world.invoked(index, at(index)).await;
        world.0.write(&row.output).await;
        world.0.write(at(index).response.as_ref().unwrap()).await;
        rows.push(row);
    }
    let by_location =
        message("Completed", "?", r#","responseParameters":{"outputLocation":"s3://output/r0"}"#);
    let by_request = message(
        "Completed",
        "?",
        r#","requestParameters":{"inputLocation":"s3://output/sagemaker-invocation-requests/job/2.json"}"#,
    );
    world.deliver(&[by_location, message("Completed", "id-1-1", ""), by_request]).await;
    for row in &rows {
        assert_eq!(world.0.state(row).await.state, SegmentState::Done, "{}", row.segment);
    }
    assert_eq!(world.permits().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_claim_without_its_object_proves_nothing() {
    let world = World::new().await;
    let locations =
        Locations { response: "s3://output/r".parse().ok(), failure: "s3://output/f".parse().ok() };
    let row = world.invoked(0, locations).await;
    let claims = [message("Completed", "id-0-1", ""), message("Failed", "id-0-1", "")];
    world.deliver(&claims).await;
    assert_eq!(world.0.state(&row).await.state, SegmentState::Invoked);
    assert_eq!(world.permits().await, 1);
}

#[tokio::test(start_paused = true)]
async fn without_failure_objects_the_topic_is_believed() {
    let world = World::new().await;
    let row = world.invoked(0, Locations::default()).await;
    world.deliver(&[message("Failed", "id-0-2", "")]).await;
    assert_eq!(world.0.state(&row).await.state, SegmentState::Invoked, "another attempt's");
    world.deliver(&[message("Failed", "id-0-1", "")]).await;
    let ended = world.0.state(&row).await;
    assert_eq!((ended.state, ended.failures), (SegmentState::RetryWait, 1));
    assert_eq!(ended.last_error.unwrap().message, "out of memory");
}

#[tokio::test(start_paused = true)]
async fn a_completion_by_name_ends_an_attempt_whose_answer_was_lost() {
    let world = World::new().await;
    let rows = [world.unanswered(0).await, world.unanswered(1).await];
    world.0.write(&rows[0].output).await;
    let completed = [message("Completed", "id-0-1", ""), message("Completed", "id-1-1", "")];
    world.deliver(&completed).await;
    assert_eq!(world.0.state(&rows[0]).await.state, SegmentState::Done);
    let empty = world.0.state(&rows[1]).await;
    assert_eq!((empty.state, empty.failures), (SegmentState::RetryWait, 1));
    assert_eq!(empty.last_error.unwrap().class, "no_output");
    assert_eq!(world.permits().await, 0, "the endpoint is done with both");
}

#[tokio::test(start_paused = true)]
async fn a_completion_by_name_releases_a_permit_that_was_kept() {
    let world = World::new().await;
    let row = world.unanswered(0).await;
    world.0.write(&row.output).await;
    world.0.ledger.complete(&row.fence(), false, row.created_at).await.unwrap();
    assert_eq!(world.permits().await, 1, "the endpoint may still be busy");
    world.deliver(&[message("Completed", "id-0-1", "")]).await;
    assert_eq!(world.permits().await, 0);
}

#[tokio::test(start_paused = true)]
async fn ten_bytes_are_no_film() {
    let world = World::new().await;
    let row = world.unanswered(0).await;
    world.0.objects.write(&row.output, b"0123456789").await.unwrap();
    world.deliver(&[message("Completed", "id-0-1", "")]).await;
    let ended = world.0.state(&row).await;
    assert_eq!((ended.state, ended.failures), (SegmentState::RetryWait, 1));
    assert_eq!(ended.last_error.unwrap().class, "no_output");
}
