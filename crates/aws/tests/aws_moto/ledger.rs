//! The ledger's contract over DynamoDB.

use std::sync::Arc;

use parallax_aws::DynamoLedger;
use parallax_ports::Ledger;
use parallax_ports::conformance::ledger;

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
async fn dynamo_ledger_of_several_replicas() {
    let moto = Moto::start().await;
    ledger::all(async || replicas(&moto, 4).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dynamo_ledger_histories() {
    let moto = Moto::start().await;
    let plan = ledger::Differential { seeds: 0..10, steps: 150, read_every: 30 };
    ledger::differential(plan, async || replicas(&moto, 3).await).await;
}
