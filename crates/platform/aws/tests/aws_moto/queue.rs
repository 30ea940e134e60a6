//! The queue's contract over SQS.

use std::sync::Arc;
use std::time::Duration;

use parallax_aws::SqsQueue;
use parallax_conformance::{queue, watching};
use parallax_ports::{Kind, Queue, Receipt};

use crate::moto::Moto;

#[tokio::test(flavor = "multi_thread")]
async fn sqs_queue() {
    let moto = Moto::start().await;
    let terms = queue::Terms {
        // The emulator is kinder than SQS: a stale receipt still deletes.
        stale_is_inert: false,
        ..queue::Terms::real(Duration::from_secs(1))
    };
    queue::all(terms, async || {
        let url = moto.queue().await;
        let queue = || Arc::new(SqsQueue::new(moto.aws.sqs(), url.clone())) as Arc<dyn Queue>;
        vec![queue(), queue(), queue()]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqs_queue_is_looked_into() {
    let moto = Moto::start().await;
    watching::look(&SqsQueue::new(moto.aws.sqs(), moto.queue().await)).await;
}

#[tokio::test]
async fn a_queue_that_is_not_there_is_named() {
    let moto = Moto::start().await;
    let url = format!("{}/123456789012/nowhere", moto.url);
    let queue = SqsQueue::new(moto.aws.sqs(), url);
    let error = queue.check().await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{}", error.chain());
    assert!(error.to_string().contains("nowhere"), "{error}");
    let wait = Duration::from_secs(1);
    assert_eq!(queue.receive(1, wait, wait).await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(queue.send("x", &[]).await.unwrap_err().kind(), Kind::NotFound);
    let there = SqsQueue::new(moto.aws.sqs(), moto.queue().await);
    there.check().await.unwrap();
    there.delete(&Receipt("AQEBnever".to_owned())).await.unwrap();
}
