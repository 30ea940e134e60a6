//! Conversions are told to whoever keeps statistics, whichever process completes them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use parallax_ports::{Locations, MetricsSink, Queue};
use parallax_worker::{Ports, Role};
use tokio::time::advance;

use crate::stage::{Endpoint, Stage, written};

#[derive(Debug, Default)]
struct Statistics(Mutex<Vec<(Duration, u64)>>);

impl MetricsSink for Statistics {
    fn count(&self, _: &'static str, _: &[(&'static str, &'static str)], _: u64) {}
    fn gauge(&self, _: &'static str, _: &[(&'static str, &'static str)], _: f64) {}
    fn observe(&self, _: &'static str, _: &[(&'static str, &'static str)], _: f64) {}

    fn converted(&self, duration: Duration, bytes: u64) {
        self.0.lock().unwrap().push((duration, bytes));
    }

    fn keeps_conversions(&self) -> bool {
        true
    }
}

#[tokio::test(start_paused = true)]
async fn a_conversion_that_another_process_began_counts_from_its_intent() {
    let stage = Stage::new();
    stage.job("job", 2).await;
    let segment = Stage::segment("job", 0, 2);
    stage.write(&stage.input(&segment)).await;
    let response = "s3://output/sagemaker-async-responses/r.out".parse().unwrap();
    let locations = Locations { response: Some(response), failure: None };
    let row = stage.invoked(&segment, locations.clone()).await;
    advance(Duration::from_secs(100)).await;
    stage.write(&row.output).await;
    let response = locations.response.unwrap();
    stage.write(&response).await;
    stage.events.send(&written(&response), &[]).await.unwrap();
    let statistics = Arc::new(Statistics::default());
    let ports = Ports { metrics: statistics.clone(), ..stage.ports(Arc::new(Endpoint)) };
    stage.run(ports, stage.config(), &[Role::OutputEvents], Duration::from_secs(30)).await;
    let told = statistics.0.lock().unwrap().clone();
    assert_eq!(told, [(Duration::from_secs(100), 17)], "the size is the object's");
}
