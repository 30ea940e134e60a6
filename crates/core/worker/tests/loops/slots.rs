//! How busy a backend is kept that takes attempts into its custody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parallax_conformance::memory::{MemoryObjects, MemoryQueue};
use parallax_job::Segment;
use parallax_ports::{
    Custody, InferenceBackend, Invocation, Invoked, Ledger, Locations, Message, ObjectStore, Queue,
    Receipt, Result,
};
use parallax_worker::{Inbox, Ports, Role};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, written};

/// Takes a second for each segment; then the result is written and, a moment later, the response.
#[derive(Debug)]
struct OneSecond {
    objects: Arc<MemoryObjects>,
    events: Arc<MemoryQueue>,
}

#[async_trait]
impl InferenceBackend for OneSecond {
    fn custody(&self) -> Custody {
        Custody::Backend
    }

    fn attempt_name(&self, segment: &Segment, attempt: u32) -> Option<String> {
        Some(format!("{}-{attempt}", segment.index))
    }

    async fn invoke(&self, asked: &Invocation, _: &CancellationToken) -> Result<Invoked> {
        let index = asked.segment.index;
        let response = format!("s3://output/sagemaker-async-responses/{index}.out");
        let response: parallax_job::Uri = response.parse().unwrap();
        let places = [asked.output.clone(), response.clone()];
        let (objects, events) = (self.objects.clone(), self.events.clone());
        tokio::spawn(async move {
            sleep(Duration::from_secs(1)).await;
            for place in places {
                objects.write(&place, b"0123456789abcdef").await.unwrap();
                events.send(&written(&place), &[]).await.unwrap();
                sleep(Duration::from_millis(20)).await;
            }
        });
        Ok(Invoked::Accepted(Locations { response: Some(response), failure: None }))
    }
}

/// A queue that counts how often it is asked.
#[derive(Debug)]
struct Counted(Arc<MemoryQueue>, AtomicU32);

#[async_trait]
impl Queue for Counted {
    async fn receive(&self, max: usize, wait: Duration, hidden: Duration) -> Result<Vec<Message>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.receive(max, wait, hidden).await
    }

    async fn delete(&self, receipt: &Receipt) -> Result<()> {
        self.0.delete(receipt).await
    }

    async fn change_visibility(&self, receipt: &Receipt, hidden: Duration) -> Result<()> {
        self.0.change_visibility(receipt, hidden).await
    }

    async fn send(&self, body: &str, attributes: &[(&str, &str)]) -> Result<()> {
        self.0.send(body, attributes).await
    }
}

#[tokio::test(start_paused = true)]
async fn short_segments_fill_the_slots_of_an_endpoint() {
    const COUNT: u32 = 100;
    let stage = Stage::new();
    let job = stage.job("job", COUNT).await;
    for index in 0..COUNT {
        let event = written(&stage.input(&Stage::segment("job", index, COUNT)));
        stage.segments.send(&event, &[]).await.unwrap();
    }
    let backend = OneSecond { objects: stage.objects.clone(), events: stage.events.clone() };
    let events = Arc::new(Counted(stage.events.clone(), AtomicU32::new(0)));
    let ports = stage.ports(Arc::new(backend));
    let output_events = Inbox { queue: events.clone(), ..ports.output_events.clone() };
    let ports = Ports { output_events, ..ports };
    let config = stage.config();
    let limit = config.max_in_flight;
    let began = Instant::now();
    let roles = [Role::Segments, Role::OutputEvents];
    let running = stage.run(ports, config, &roles, Duration::from_secs(600));
    let watching = async {
        while stage.ledger.completions(&job, COUNT).await.unwrap().len() < COUNT as usize {
            sleep(Duration::from_millis(10)).await;
        }
        (began.elapsed(), events.1.load(Ordering::Relaxed))
    };
    let (took, receives) = tokio::select! {
        () = running => panic!("all are complete long before"),
        found = watching => found,
    };
    let slots = f64::from(COUNT) / f64::from(limit) / took.as_secs_f64();
    assert!(slots >= 0.9, "slot use {slots:.2} in {took:?}");
    assert!(receives <= 2 * COUNT + 10, "{receives} receives for {COUNT} segments");
}
