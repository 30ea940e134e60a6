//! What the sweep finds while other things move.

use std::sync::Arc;
use std::time::Duration;

use parallax_ports::{Locations, Queue};
use parallax_worker::{Config, Role};
use tokio::time::sleep;

use crate::stage::{Endpoint, Stage, written};

#[tokio::test(start_paused = true)]
async fn a_lost_segment_is_found_while_others_of_its_job_complete() {
    const TOTAL: u32 = 20;
    let stage = Stage::new();
    stage.job("job", TOTAL).await;
    let lost = Stage::segment("job", TOTAL - 1, TOTAL);
    stage.write(&stage.input(&lost)).await;
    let mut rows = Vec::new();
    for index in 0..TOTAL - 1 {
        let response = format!("s3://output/sagemaker-async-responses/r{index}.out");
        let locations = Locations { response: response.parse().ok(), failure: None };
        let segment = Stage::segment("job", index, TOTAL);
        let row = stage.invoked(&segment, locations.clone()).await;
        rows.push((row, locations.response.unwrap()));
    }
    let config = Config { max_in_flight: TOTAL, ..stage.config() };
    let patience = config.unattended + config.sweep * 3;
    let roles = [Role::OutputEvents, Role::Reconcile];
    let running = stage.run(stage.ports(Arc::new(Endpoint)), config, &roles, patience);
    let completing = async {
        for (row, response) in rows {
            sleep(Duration::from_secs(25)).await;
            stage.write(&row.output).await;
            stage.write(&response).await;
            stage.events.send(&written(&response), &[]).await.unwrap();
        }
    };
    tokio::select! {
        () = running => {}
        () = completing => panic!("segments complete for as long as the test runs"),
    }
    let sent: Vec<String> = stage.segments.contents().into_iter().map(|(body, _)| body).collect();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(sent[0].contains("00019_00020_sbs"), "{sent:?}");
}
