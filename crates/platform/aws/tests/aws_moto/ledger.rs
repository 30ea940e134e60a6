//! The ledger's contract over DynamoDB.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use parallax_aws::DynamoLedger;
use parallax_conformance::{ledger, operators, watching};
use parallax_job::{JobStatus, Mode, Segment, Timestamp};
use parallax_ports::ledger::{
    HolderId, Intent, IntentOutcome, Job, Resend, Reserve, TriggerOutcome,
};
use parallax_ports::{Act, Acts, Custody, Ledger, Locations};

use crate::moto::Moto;

async fn replicas(moto: &Moto, count: usize) -> Vec<Arc<dyn Ledger>> {
    let tables = moto.tables().await;
    let ledger = || {
        let client = moto.aws.dynamodb();
        Arc::new(DynamoLedger::new(client, tables.clone(), "endpoint")) as Arc<dyn Ledger>
    };
    (0..count).map(|_| ledger()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn dynamo_ledger() {
    let moto = Moto::start().await;
    ledger::all(async || replicas(&moto, 1).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dynamo_ledger_for_operators() {
    let moto = Moto::start().await;
    operators::ledger(async || {
        DynamoLedger::new(moto.aws.dynamodb(), moto.tables().await, "endpoint")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dynamo_records() {
    let moto = Moto::start().await;
    watching::records(async || {
        DynamoLedger::new(moto.aws.dynamodb(), moto.tables().await, "endpoint")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_without_acts_hide_no_act() {
    let moto = Moto::start().await;
    let tables = moto.tables().await;
    let ledger = DynamoLedger::new(moto.aws.dynamodb(), tables.clone(), "endpoint");
    let act = Act { at: Timestamp(1), who: "ann".into(), what: "pause".into(), outcome: None };
    for _ in 0..7 {
        ledger.begin(&act).await.unwrap();
    }
    // As a process leaves it that ends between the number and the act.
    for number in [3, 4, 6] {
        let key = AttributeValue::S(format!("act#{number}"));
        let delete = moto.aws.dynamodb().delete_item().table_name(&tables.invocations);
        delete.key("output_location", key).send().await.unwrap();
    }
    let numbers = async |before, limit| -> Vec<u64> {
        let found = ledger.latest_acts(before, limit).await.unwrap();
        found.into_iter().map(|(number, _)| number).collect()
    };
    assert_eq!(numbers(None, 3).await, [7, 5, 2]);
    assert_eq!(numbers(Some(5), 3).await, [2, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn dynamo_ledger_of_several_replicas() {
    let moto = Moto::start().await;
    ledger::all(async || replicas(&moto, 4).await).await;
}

/// Ten histories in two halves, each of which ends in time on a busy machine.
async fn histories(seeds: std::ops::Range<u64>) {
    let moto = Moto::start().await;
    let plan = ledger::Differential { seeds, steps: 150, read_every: 30 };
    ledger::differential(plan, async || replicas(&moto, 3).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dynamo_ledger_histories() {
    histories(0..5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dynamo_ledger_histories_of_other_seeds() {
    histories(5..10).await;
}

/// Requests by operation, for a job of segments that all succeed at once.
#[tokio::test]
async fn a_segment_costs_four_writes_and_hardly_a_read() {
    const SEGMENTS: u32 = 20;
    let moto = Moto::start().await;
    let ledger = replicas(&moto, 1).await.swap_remove(0);
    let now = Timestamp(1_700_000_000_000);
    let later = now + Duration::from_secs(3600);
    let job = Job {
        status: JobStatus::ChunkingComplete,
        total_segments: Some(SEGMENTS),
        ..Job::new("job".parse().unwrap(), Mode::Sbs, now)
    };
    assert!(ledger.create_job(&job).await.unwrap());
    moto.forget_calls();
    let resend = Resend { unconfirmed: Duration::ZERO, unfinished: Duration::ZERO };
    for index in 0..SEGMENTS {
        let segment = Segment::new(job.job_id.clone(), index, SEGMENTS, Mode::Sbs).unwrap();
        let holder = HolderId(format!("h{index}"));
        let granted = ledger.reserve(&holder, 5, later, now).await.unwrap();
        assert_eq!(granted, Reserve::Granted);
        let intent = Intent {
            segment,
            nonce: holder.0.clone(),
            holder,
            custody: Custody::Backend,
            input: "s3://in-bucket/x".parse().unwrap(),
            output: format!("s3://out-bucket/{index}").parse().unwrap(),
            deadline: later,
            lease: None,
            now,
        };
        let IntentOutcome::Recorded(row) = ledger.record_intent(&intent).await.unwrap() else {
            panic!("recorded")
        };
        let response = format!("s3://out-bucket/r{index}").parse().ok();
        let locations = Locations { response, failure: None };
        ledger.record_invoked(&row.fence(), &locations, later).await.unwrap();
        ledger.complete(&row.fence(), true, now).await.unwrap();
    }
    let calls = moto.calls();
    let of = |name: &str| calls.get(&format!("DynamoDB_20120810.{name}")).copied().unwrap_or(0);
    let writes = of("UpdateItem") + of("TransactWriteItems") + of("PutItem");
    let reads = of("BatchGetItem") + of("GetItem") + of("Query");
    // The pool's item is made once; it and the job are read once.
    assert!(writes <= 4 * SEGMENTS + 2, "{calls:?}");
    assert!(reads <= 3, "{calls:?}");
    moto.forget_calls();
    let sent = ledger.trigger(&job.job_id, "n", resend, now).await.unwrap();
    assert_eq!(sent, TriggerOutcome::Send);
    ledger.triggered(&job.job_id, now).await.unwrap();
    assert_eq!(moto.calls().values().sum::<u32>(), 3, "list, claim, confirm: {:?}", moto.calls());
}
