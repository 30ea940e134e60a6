//! What the sweep finds while other things move.

use std::sync::Arc;
use std::time::Duration;

use parallax_conformance::fault::{Faults, Faulty, Rates};
use parallax_conformance::memory::{MemoryLedger, MemoryQueue};
use parallax_job::{JobStatus, Mode};
use parallax_ports::ledger::{Job, SegmentState};
use parallax_ports::{Clock, Ids, Ledger, Locations, Queue};
use parallax_worker::{Config, Inbox, Pipeline, Ports, Role, Roles, Stop, run};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

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

/// Jobs that wait for segments of which nothing is known.
async fn unfinished(stage: &Stage, count: u32) {
    for job in 0..count {
        stage.job(&format!("job-{job:04}"), 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn many_unfinished_jobs_keep_no_permit_waiting_and_all_have_their_turn() {
    let stage = Stage::new();
    unfinished(&stage, 500).await;
    // The last in the list is complete, and whoever completed it died before he asked.
    stage.job("last", 1).await;
    let done = stage.intended(&Stage::segment("last", 0, 1)).await;
    stage.ledger.complete(&done.fence(), true, stage.clock.now()).await.unwrap();
    stage.job("work", 1).await;
    let response = "s3://output/sagemaker-async-responses/r.out".parse().unwrap();
    let locations = Locations { response: Some(response), failure: None };
    let row = stage.invoked(&Stage::segment("work", 0, 1), locations.clone()).await;
    let (ports, _) = stage.slow_ports(Arc::new(Endpoint), Duration::from_secs(1));
    let beats = ports.beats.clone();
    let time = Duration::from_secs(3000);
    let running = stage.run(ports, stage.config(), &[Role::Reconcile], time);
    let watching = async {
        // In the middle of what is a sweep of many minutes, an outcome is written and its event lost.
        sleep(Duration::from_secs(70)).await;
        stage.write(&row.output).await;
        stage.write(&locations.response.unwrap()).await;
        sleep(Duration::from_secs(90)).await;
        let row = stage.state(&row).await;
        assert_eq!((row.state, row.holder), (SegmentState::Done, None), "its permit is free");
        while stage.reassembly.sent() < 2 {
            sleep(Duration::from_secs(10)).await;
            assert_eq!(beats.overdue(), []);
        }
    };
    tokio::select! {
        () = running => panic!("\"last\" and \"work\" are asked about: {}", stage.reassembly.sent()),
        () = watching => {}
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_sweep_costs_does_not_grow_with_unfinished_jobs() {
    let calls_of_a_sweep = async |count| {
        let stage = Stage::new();
        unfinished(&stage, count).await;
        let faults = Arc::new(Faults::seeded(0, Rates::NONE, Arc::default()).traced());
        let ledger = Arc::new(Faulty::new(stage.ledger.clone(), faults.clone()));
        let ports = Ports { ledger, ..stage.ports(Arc::new(Endpoint)) };
        stage.run(ports, stage.config(), &[Role::Reconcile], Duration::from_secs(600)).await;
        // Each sweep begins with a look at the permits.
        let trace = faults.trace();
        let sweeps = trace.split(|call| *call == "ledger.holders");
        sweeps.map(<[_]>::len).max().unwrap()
    };
    let (few, many) = (calls_of_a_sweep(200).await, calls_of_a_sweep(4000).await);
    assert_eq!(few, many, "calls in the longest sweep");
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_heeded_in_the_middle_of_a_sweep() {
    let stage = Stage::new();
    unfinished(&stage, 500).await;
    let (ports, _) = stage.slow_ports(Arc::new(Endpoint), Duration::from_secs(1));
    let (began, time) = (Instant::now(), Duration::from_secs(40));
    stage.run(ports, stage.config(), &[Role::Reconcile], time).await;
    let took = began.elapsed() - time;
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_ledger_is_told_by_readiness_and_leaves_the_process_alive() {
    let stage = Stage::new();
    stage.job("job", 1).await;
    let (ports, faults) = stage.slow_ports(Arc::new(Endpoint), Duration::from_secs(2000));
    let (beats, flags) = (ports.beats.clone(), ports.flags.clone());
    let roles = [Role::Segments, Role::OutputEvents, Role::Reconcile];
    let running = stage.run(ports, stage.config(), &roles, Duration::from_secs(10_000));
    let watching = async {
        sleep(Duration::from_secs(60)).await;
        for _ in 0..60 {
            sleep(Duration::from_secs(10)).await;
            assert_eq!(beats.overdue(), []);
        }
        let lowered = flags.lowered();
        let names: Vec<&str> = lowered.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["reconcile: ledger", "segments: ledger"], "{lowered:?}");
        faults.heal();
        sleep(Duration::from_secs(3000)).await;
        assert_eq!(flags.lowered(), [], "it answers again");
    };
    tokio::select! {
        () = running => panic!("it runs for as long as the test"),
        () = watching => {}
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_replica_makes_few_calls_and_still_stops_soon() {
    let stage = Stage::new();
    // A source that never came is no reason to look often.
    let job = Job::new("abandoned".parse().unwrap(), Mode::Sbs, stage.clock.now());
    stage.ledger.create_job(&job).await.unwrap();
    let faults = Arc::new(Faults::seeded(0, Rates::NONE, Arc::default()).traced());
    let ports = stage.ports(Arc::new(Endpoint));
    let queue = |queue: &Arc<MemoryQueue>| Arc::new(Faulty::new(queue.clone(), faults.clone()));
    let ports = Ports {
        ledger: Arc::new(Faulty::new(stage.ledger.clone(), faults.clone())),
        segments: Inbox { queue: queue(&stage.segments), ..ports.segments.clone() },
        output_events: Inbox { queue: queue(&stage.events), ..ports.output_events.clone() },
        chunking: Some(Inbox { queue: queue(&stage.reassembly), ..ports.reassembly.clone() }),
        ..ports
    };
    // As on AWS.
    let (poll_wait, idle_poll_wait) = (Duration::from_secs(8), Duration::from_secs(20));
    let config = Config { poll_wait, idle_poll_wait, ..stage.config() };
    let roles = [Role::Segments, Role::OutputEvents, Role::Reconcile];
    let (began, minutes) = (Instant::now(), 60);
    let time = Duration::from_secs(60 * minutes);
    stage.run(ports, config, &roles, time).await;
    let took = began.elapsed() - time;
    assert!(
        took <= Duration::from_secs(9),
        "an idle replica stops within a short receive: {took:?}"
    );
    let calls = faults.calls() as f64 / minutes as f64;
    assert!(calls <= 15.0, "{calls:.1} calls a minute");
}

#[tokio::test(start_paused = true)]
async fn replicas_take_turns_at_sweeping_and_one_that_dies_is_replaced() {
    let stage = Stage::new();
    // Each waits for its final file, so that a sweep has something to look at.
    for job in 0..20 {
        let job_id = stage.job(&format!("job-{job}"), 1).await;
        let to = JobStatus::Reassembling;
        stage.ledger.advance(&job_id, to, None, None, stage.clock.now()).await.unwrap();
    }
    let turns = Arc::new(MemoryLedger::default());
    let replica = |seed| {
        let faults = Arc::new(Faults::seeded(0, Rates::NONE, Arc::default()).traced());
        let ports = Ports {
            ledger: Arc::new(Faulty::new(stage.ledger.clone(), faults.clone())),
            turns: Some(turns.clone()),
            ids: Arc::new(Ids::seeded(seed)),
            ..stage.ports(Arc::new(Endpoint))
        };
        (ports, faults)
    };
    let (mut running, mut all) = (JoinSet::new(), Vec::new());
    for seed in 0..6 {
        let (ports, faults) = replica(seed);
        let pipeline = Arc::new(Pipeline::new(ports, stage.config()).unwrap());
        all.push(faults);
        let roles = Roles::from_iter([Role::Reconcile]);
        running.spawn(async move { run(pipeline, &roles, Stop::default()).await.unwrap() });
    }
    let lists = |faults: &Faults| faults.trace().iter().filter(|c| **c == "ledger.jobs").count();
    sleep(Duration::from_secs(1200)).await;
    assert_eq!(all.iter().filter(|faults| lists(faults) > 0).count(), 1, "one sweeps for all");
    // All of them die; the turn is still theirs, for a while.
    running.abort_all();
    let (ports, faults) = replica(9);
    let time = Duration::from_secs(600);
    stage.run(ports, stage.config(), &[Role::Reconcile], time).await;
    assert!(lists(&faults) > 0, "somebody else takes the turn");
    let (ports, faults) = replica(10);
    stage.run(ports, stage.config(), &[Role::Reconcile], Duration::from_secs(60)).await;
    assert!(lists(&faults) > 0, "it was given back with the drain");
}
