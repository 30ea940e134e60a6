//! Replies that are lost after the request was carried out: every verb is answered as if nothing
//! had happened, and nothing happens twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parallax_aws::{Aws, DynamoLedger};
use parallax_job::{JobStatus, Mode, Segment, Timestamp};
use parallax_ports::ledger::{
    Advance, AttemptError, Completed, Cost, Ended, HolderId, Intent, IntentOutcome, Job, Lock,
    Resend, Reserve, TriggerOutcome,
};
use parallax_ports::{Custody, Ledger, Locations};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::moto::Moto;

/// A proxy that carries requests out and loses the next `to_lose` replies to writes.
struct Lossy {
    url: String,
    to_lose: Arc<AtomicU32>,
}

impl Lossy {
    async fn before(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let lossy = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            to_lose: Arc::default(),
        };
        let server = url.strip_prefix("http://").unwrap().to_owned();
        let to_lose = lossy.to_lose.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server.clone(), to_lose.clone()));
            }
        });
        lossy
    }

    /// Runs one verb whose first write is carried out without a reply.
    async fn losing<T>(&self, verb: impl Future<Output = parallax_ports::Result<T>>) -> T {
        self.to_lose.store(1, Ordering::SeqCst);
        let answer = verb.await.unwrap();
        assert_eq!(self.to_lose.load(Ordering::SeqCst), 0, "a reply was lost");
        answer
    }
}

async fn pass(mut client: TcpStream, server: String, to_lose: Arc<AtomicU32>) {
    let mut request = Vec::new();
    loop {
        let mut some = [0; 16_384];
        let n = client.read(&mut some).await.unwrap_or(0);
        request.extend_from_slice(&some[..n]);
        let text = String::from_utf8_lossy(&request).to_lowercase();
        let length = |head: &str| -> usize {
            let line = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            line.map_or(0, |text| text.trim().parse().unwrap())
        };
        match text.split_once("\r\n\r\n") {
            Some((head, body)) if body.len() >= length(head) => break,
            _ if n == 0 => return,
            _ => {}
        }
    }
    let mut upstream = TcpStream::connect(&server).await.unwrap();
    upstream.write_all(&request).await.unwrap();
    let mut reply = Vec::new();
    // The server closes after each reply.
    upstream.read_to_end(&mut reply).await.unwrap();
    let text = String::from_utf8_lossy(&request).to_lowercase();
    let write = ["updateitem", "transactwriteitems", "putitem"]
        .iter()
        .any(|name| text.contains(&format!("dynamodb_20120810.{name}")));
    let take = |left: u32| left.checked_sub(1);
    if write && to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
        return;
    }
    let _ = client.write_all(&reply).await;
}

const NOW: Timestamp = Timestamp(1_700_000_000_000);

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_changes_no_answer() {
    let moto = Moto::start().await;
    let lossy = Lossy::before(&moto.url).await;
    let settings = parallax_aws::Settings {
        region: Some("eu-west-1".to_owned()),
        endpoint_url: Some(lossy.url.clone()),
        ..parallax_aws::Settings::default()
    };
    let credentials = aws_credential_types::Credentials::new("test", "test", None, None, "tests");
    let aws = Aws::load(&settings).await.with_credentials(credentials);
    let ledger = DynamoLedger::new(aws.dynamodb(), moto.tables().await, "endpoint");
    let later = NOW + Duration::from_secs(60);
    let job = Job {
        status: JobStatus::ChunkingInProgress,
        ..Job::new("job".parse().unwrap(), Mode::Sbs, NOW)
    };
    let id = &job.job_id;
    assert!(lossy.losing(ledger.create_job(&job)).await, "its own job is not another's");
    assert!(!ledger.create_job(&job).await.unwrap(), "a second one is");
    let to = JobStatus::ChunkingComplete;
    let moved = lossy.losing(ledger.advance(id, to, Some(2), None, NOW)).await;
    assert!(matches!(moved, Advance::Moved | Advance::Already));
    for index in 0..2 {
        let holder = HolderId(format!("h{index}"));
        let granted = lossy.losing(ledger.reserve(&holder, 1, later, NOW)).await;
        assert_eq!(granted, Reserve::Granted, "within the limit, though it asked twice");
        assert_eq!(ledger.holders().await.unwrap().len(), 1);
        let intent = |nonce: &str| Intent {
            segment: Segment::new(id.clone(), index, 2, Mode::Sbs).unwrap(),
            holder: holder.clone(),
            nonce: nonce.to_owned(),
            custody: Custody::Backend,
            input: "s3://in-bucket/x".parse().unwrap(),
            output: "s3://out-bucket/x".parse().unwrap(),
            deadline: later,
            lease: None,
            now: NOW,
        };
        let outcome = lossy.losing(ledger.record_intent(&intent("a"))).await;
        let IntentOutcome::Recorded(first) = outcome else { panic!("{outcome:?}") };
        assert_eq!(first.attempt, 1, "one attempt, though it asked twice");
        let error = AttemptError::new("internal", "x");
        let ended = lossy.losing(ledger.retry(&first.fence(), NOW, &error, Cost::Failure)).await;
        assert_eq!(ended, Ended::Yes);
        assert_eq!(ledger.holders().await.unwrap(), []);
        lossy.losing(ledger.reserve(&holder, 1, later, NOW)).await;
        let outcome = lossy.losing(ledger.record_intent(&intent("b"))).await;
        let IntentOutcome::Recorded(row) = outcome else { panic!("{outcome:?}") };
        assert_eq!((row.attempt, row.failures), (2, 1), "counted once");
        let response = "s3://out-bucket/r".parse().ok();
        let locations = Locations { response, failure: None };
        let ended = lossy.losing(ledger.record_invoked(&row.fence(), &locations, later)).await;
        assert_eq!(ended, Ended::Yes);
        let completed = lossy.losing(ledger.complete(&row.fence(), true, NOW)).await;
        assert!(matches!(completed, Completed::Recorded | Completed::Already));
        assert_eq!(ledger.holders().await.unwrap(), []);
        assert_eq!(ledger.completions(id, 2).await.unwrap().len(), index as usize + 1);
    }
    let resend =
        Resend { unconfirmed: Duration::from_secs(60), unfinished: Duration::from_secs(600) };
    let sent = lossy.losing(ledger.trigger(id, "n", resend, NOW)).await;
    assert_eq!(sent, TriggerOutcome::Send, "the sender learns that it is the sender");
    lossy.losing(ledger.triggered(id, NOW)).await;
    let status = ledger.job(id).await.unwrap().unwrap().status;
    assert_eq!(status, JobStatus::Reassembling);
    let lock = lossy.losing(ledger.lock_reassembly(id, "w", later, NOW)).await;
    assert_eq!(lock, Lock::Acquired(2));
    lossy.losing(ledger.unlock_reassembly(id, "w")).await;
    let lock = ledger.lock_reassembly(id, "v", later, NOW).await.unwrap();
    assert_eq!(lock, Lock::Acquired(2));
}
