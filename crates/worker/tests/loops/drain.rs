//! What must not hold a drain.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parallax_ports::{Locations, Message, Queue, Receipt, Result};
use parallax_worker::{Inbox, Ports, Role};
use tokio::time::timeout;

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
    let reassembly = Inbox { name: "reassembly", queue: Arc::new(Silent), dead_letters: None };
    let ports = Ports { reassembly, ..stage.ports(Arc::new(Endpoint)) };
    let time = Duration::from_secs(20);
    let running = stage.run(ports, stage.config(), &[Role::OutputEvents], time);
    timeout(Duration::from_secs(60), running).await.expect("it ends");
    assert!(stage.state(&row).await.state.is_terminal(), "the question was asked");
}
