//! What must not hold a drain.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parallax_ports::{Locations, Message, Queue, Receipt, Result};
use parallax_worker::{Config, Inbox, Ports, Role};
use tokio::time::{Instant, timeout};

use crate::stage::{Endpoint, Stage, written};

/// Answers nothing.
#[derive(Debug)]
struct Silent;

#[async_trait]
impl Queue for Silent {
    async fn receive(&self, _: usize, _: Duration, _: Duration) -> Result<Vec<Message>> {
        std::future::pending().await
    }

    async fn delete(&self, _: &Receipt) -> Result<()> {
        std::future::pending().await
    }

    async fn change_visibility(&self, _: &Receipt, _: Duration) -> Result<()> {
        std::future::pending().await
    }

    async fn send(&self, _: &str, _: &[(&str, &str)]) -> Result<()> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_about_reassembly_that_is_not_answered_does_not_hold_a_drain() {
    let stage = Stage::new();
    stage.job("job", 1).await;
    let response = "s3://output/sagemaker-async-responses/r.out".parse().unwrap();
    let locations = Locations { response: Some(response), failure: None };
    let row = stage.invoked(&Stage::segment("job", 0, 1), locations.clone()).await;
    stage.write(&row.output).await;
    let response = locations.response.unwrap();
    stage.write(&response).await;
    stage.events.send(&written(&response), &[]).await.unwrap();
    let reassembly = Inbox {
        name: "reassembly",
        queue: Arc::new(Silent),
        dead_letters: None,
        max_receives: None,
    };
    let ports = Ports { reassembly, ..stage.ports(Arc::new(Endpoint)) };
    let time = Duration::from_secs(20);
    let running = stage.run(ports, stage.config(), &[Role::OutputEvents], time);
    timeout(Duration::from_secs(60), running).await.expect("it ends");
    assert!(stage.state(&row).await.state.is_terminal(), "the question was asked");
}

#[tokio::test(start_paused = true)]
async fn services_that_answer_nothing_do_not_hold_a_drain() {
    let stage = Stage::new();
    stage.job("job", 1).await;
    let silent =
        |name| Inbox { name, queue: Arc::new(Silent), dead_letters: None, max_receives: None };
    let (ports, _) = stage.slow_ports(Arc::new(Endpoint), Duration::from_secs(1_000_000));
    let ports =
        Ports { segments: silent("segments"), output_events: silent("output-events"), ..ports };
    let config = Config { drain: Duration::from_secs(5), ..stage.config() };
    let drain = config.drain;
    let roles = [Role::Segments, Role::OutputEvents, Role::Reconcile];
    let (began, time) = (Instant::now(), Duration::from_secs(100));
    timeout(Duration::from_secs(600), stage.run(ports, config, &roles, time))
        .await
        .expect("it ends");
    let took = began.elapsed() - time;
    assert!(took <= drain + Duration::from_secs(15), "{took:?}");
}
