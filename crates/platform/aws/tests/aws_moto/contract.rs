//! Items as deployed parts write and read them: small fixtures in both directions.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use parallax_aws::{DynamoLedger, Tables};
use parallax_job::{JobId, JobStatus, Mode, Segment, Timestamp, Uri};
use parallax_ports::ledger::{
    Advance, AttemptError, Cost, HolderId, Intent, IntentOutcome, Job, Lock, Resend, SegmentRow,
    TriggerOutcome,
};
use parallax_ports::{Custody, Ledger, Locations};

use crate::moto::Moto;

type Item = HashMap<String, AttributeValue>;

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn n(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn item<const K: usize>(attributes: [(&str, AttributeValue); K]) -> Item {
    attributes.map(|(name, value)| (name.to_owned(), value)).into()
}

struct Stage {
    _moto: Moto,
    client: Client,
    tables: Tables,
    ledger: DynamoLedger,
}

const NOW: Timestamp = Timestamp(1_700_000_000_500);
const RESEND: Resend =
    Resend { unconfirmed: Duration::from_secs(60), unfinished: Duration::from_secs(7200) };

impl Stage {
    async fn new() -> Self {
        let moto = Moto::start().await;
        let (client, tables) = (moto.aws.dynamodb(), moto.tables().await);
        let ledger = DynamoLedger::new(client.clone(), tables.clone(), "endpoint");
        let Tables { jobs, completions, triggers, invocations } = &tables;
        for table in [jobs, completions, triggers, invocations] {
            ledger.check_table(table).await.unwrap();
        }
        Self { _moto: moto, client, tables, ledger }
    }

    async fn put(&self, table: &str, item: Item) {
        self.client.put_item().table_name(table).set_item(Some(item)).send().await.unwrap();
    }

    async fn get<const K: usize>(&self, table: &str, key: [(&str, AttributeValue); K]) -> Item {
        let call = self.client.get_item().table_name(table).set_key(Some(item(key)));
        call.send().await.unwrap().item.unwrap_or_default()
    }

    async fn all(&self, table: &str) -> Vec<Item> {
        self.client.scan().table_name(table).send().await.unwrap().items.unwrap_or_default()
    }

    async fn start(&self, segment: &Segment) -> SegmentRow {
        let holder = HolderId(format!("h-{segment}"));
        let until = NOW + Duration::from_secs(60);
        self.ledger.reserve(&holder, 9, until, NOW).await.unwrap();
        let intent = Intent {
            segment: segment.clone(),
            nonce: holder.0.clone(),
            holder,
            custody: Custody::Backend,
            input: "s3://in-bucket/segments/x.mp4".parse().unwrap(),
            output: format!(
                "s3://out-bucket/jobs/{}/segments/{}.mp4",
                segment.job_id, segment.index
            )
            .parse()
            .unwrap(),
            deadline: until,
            lease: None,
            now: NOW,
        };
        match self.ledger.record_intent(&intent).await.unwrap() {
            IntentOutcome::Recorded(row) => *row,
            other => panic!("{other:?}"),
        }
    }
}

fn job_id() -> JobId {
    "3f2b8c1e-0000-4000-8000-1234567890ab".parse().unwrap()
}

fn segment(index: u32, total: u32) -> Segment {
    Segment::new(job_id(), index, total, Mode::Sbs).unwrap()
}

fn deployed_job(status: &str, total: Option<i64>) -> Item {
    let mut job = item([
        ("job_id", s(job_id().as_str())),
        ("mode", s("sbs")),
        ("status", s(status)),
        ("created_at", n(1_699_999_000)),
        ("title", s("a title")),
        ("uploaded_at", n(1_699_999_100)),
        ("source_file_size_bytes", n(123_456_789)),
    ]);
    job.extend(total.map(|total| ("total_segments".to_owned(), n(total))));
    job
}

#[tokio::test]
async fn jobs_of_the_web_application_keep_what_they_hold() {
    let stage = Stage::new().await;
    stage.put(&stage.tables.jobs, deployed_job("created", None)).await;
    let job = stage.ledger.job(&job_id()).await.unwrap().unwrap();
    let expected = Job {
        title: Some("a title".to_owned()),
        uploaded_at: Some(Timestamp(1_699_999_100_000)),
        source_file_size_bytes: Some(123_456_789),
        ..Job::new(job_id(), Mode::Sbs, Timestamp(1_699_999_000_000))
    };
    assert_eq!(job, expected);
    for (to, total) in [
        (JobStatus::ChunkingInProgress, None),
        (JobStatus::ChunkingComplete, Some(2)),
        (JobStatus::Reassembling, None),
        (JobStatus::Completed, None),
    ] {
        let moved = stage.ledger.advance(&job_id(), to, total, None, NOW).await.unwrap();
        assert_eq!(moved, Advance::Moved);
    }
    let stored = stage.get(&stage.tables.jobs, [("job_id", s(job_id().as_str()))]).await;
    let mut expected = deployed_job("completed", Some(2));
    expected.insert("completed_at".to_owned(), n(1_700_000_000));
    expected.insert("completed_at_ms".to_owned(), n(NOW.0));
    assert_eq!(stored, expected);
    let listed = stage.ledger.jobs(JobStatus::Completed).await.unwrap();
    assert_eq!(listed[0].completed_at, Some(NOW));
}

#[tokio::test]
async fn malformed_jobs_hide_no_others() {
    let stage = Stage::new().await;
    stage.put(&stage.tables.jobs, deployed_job("chunking_complete", Some(2))).await;
    let mut broken = deployed_job("chunking_complete", Some(2));
    broken.insert("job_id".to_owned(), s("broken"));
    broken.insert("mode".to_owned(), s("hologram"));
    stage.put(&stage.tables.jobs, broken).await;
    let listed = stage.ledger.jobs(JobStatus::ChunkingComplete).await.unwrap();
    assert_eq!(listed.len(), 1);
    let error = stage.ledger.job(&"broken".parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("mode"), "{error}");
}

#[tokio::test]
async fn completions_are_read_and_written_as_deployed() {
    let stage = Stage::new().await;
    let deployed = item([
        ("job_id", s(job_id().as_str())),
        ("segment_index", n(0)),
        ("output_s3_uri", s("s3://out-bucket/jobs/j/segments/0.mp4")),
        ("completed_at", n(1_699_999_999)),
        ("total_segments", n(2)),
    ]);
    stage.put(&stage.tables.completions, deployed.clone()).await;
    stage.put(&stage.tables.jobs, deployed_job("chunking_complete", Some(2))).await;
    let row = stage.start(&segment(1, 2)).await;
    stage.ledger.complete(&row.fence(), true, NOW).await.unwrap();
    let found = stage.ledger.completions(&job_id(), 2).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].completed_at, Timestamp(1_699_999_999_000));
    assert_eq!(found[1].completed_at, NOW);
    let key = [("job_id", s(job_id().as_str())), ("segment_index", n(1))];
    let ours = stage.get(&stage.tables.completions, key).await;
    for (name, value) in &deployed {
        let same_type = std::mem::discriminant(value) == std::mem::discriminant(&ours[name]);
        assert!(same_type, "{name}: {:?}", ours[name]);
    }
    assert_eq!(ours["completed_at"], n(1_700_000_000), "whole seconds");
    let outcome = stage.ledger.trigger(&job_id(), "n", RESEND, NOW).await.unwrap();
    assert_eq!(outcome, TriggerOutcome::Send, "both count");
}

#[tokio::test]
async fn invocations_are_found_by_either_location() {
    let stage = Stage::new().await;
    let place = "s3://out-bucket/sagemaker-async-responses/0a1b.out";
    let deployed = item([
        ("output_location", s(place)),
        ("job_id", s(job_id().as_str())),
        ("segment_index", n(4)),
        ("total_segments", n(9)),
        ("output_s3_uri", s("s3://out-bucket/jobs/j/segments/4.mp4")),
        ("created_at", n(1_699_999_999)),
        ("ttl", n(1_700_014_399)),
    ]);
    stage.put(&stage.tables.invocations, deployed.clone()).await;
    stage.put(&stage.tables.jobs, deployed_job("chunking_complete", Some(9))).await;
    let uri: Uri = place.parse().unwrap();
    let found = stage.ledger.by_location(&uri).await.unwrap();
    assert_eq!(found, Some(segment(4, 9)), "the mode is the job's");
    let row = stage.start(&segment(5, 9)).await;
    let locations = Locations {
        response: Some("s3://out-bucket/sagemaker-async-responses/5.out".parse().unwrap()),
        failure: Some("s3://out-bucket/sagemaker-async-failures/5-error.out".parse().unwrap()),
    };
    let deadline = NOW + Duration::from_secs(6600);
    stage.ledger.record_invoked(&row.fence(), &locations, deadline).await.unwrap();
    let kinds = stage.all(&stage.tables.invocations).await.len();
    for uri in [&locations.response, &locations.failure] {
        let uri = uri.as_ref().unwrap();
        assert_eq!(stage.ledger.by_location(uri).await.unwrap(), Some(segment(5, 9)));
    }
    let late = AttemptError::new("expired", "no outcome before the deadline");
    stage.ledger.retry(&row.fence(), NOW, &late, Cost::Attempt).await.unwrap();
    // Both addresses and the index of what is due: the attempt's permit leads there no more.
    assert_eq!(stage.all(&stage.tables.invocations).await.len(), kinds + 3);
    for uri in [&locations.response, &locations.failure] {
        let uri = uri.as_ref().unwrap();
        let ours =
            stage.get(&stage.tables.invocations, [("output_location", s(&uri.to_string()))]).await;
        let names = |item: &Item| item.keys().cloned().collect::<BTreeSet<_>>();
        assert!(names(&ours).is_superset(&names(&deployed)), "{ours:?}");
        assert_eq!((&ours["segment_index"], &ours["total_segments"]), (&n(5), &n(9)));
        assert_eq!(stage.ledger.by_location(uri).await.unwrap(), Some(segment(5, 9)));
    }
}

#[tokio::test]
async fn a_part_that_completes_segments_is_told_where_the_response_will_be() {
    let stage = Stage::new().await;
    stage.put(&stage.tables.jobs, deployed_job("chunking_complete", Some(1))).await;
    let row = stage.start(&segment(0, 1)).await;
    let [response, failure] = ["s3://out-bucket/r/0.out", "s3://out-bucket/f/0.out"];
    let locations = Locations {
        response: Some(response.parse().unwrap()),
        failure: Some(failure.parse().unwrap()),
    };
    let beside = stage.ledger.clone().beside_a_completion_owner();
    beside.record_invoked(&row.fence(), &locations, row.deadline).await.unwrap();
    let items = stage.all(&stage.tables.invocations).await;
    let there = |place| items.iter().any(|item| item["output_location"] == s(place));
    assert!(there(response) && !there(failure), "{items:?}");
}

#[tokio::test]
async fn only_what_is_over_expires() {
    let stage = Stage::new().await;
    stage.put(&stage.tables.jobs, deployed_job("chunking_complete", Some(2))).await;
    let (a, b) = (stage.start(&segment(0, 2)).await, stage.start(&segment(1, 2)).await);
    let expires = async || {
        let mut found = Vec::new();
        for item in stage.all(&stage.tables.invocations).await {
            if item.contains_key("ttl") {
                found.push(item["output_location"].as_s().unwrap().clone());
            }
        }
        found.sort();
        found
    };
    assert_eq!(expires().await, [""; 0]);
    stage.ledger.complete(&a.fence(), true, NOW).await.unwrap();
    stage.ledger.complete(&b.fence(), false, NOW).await.unwrap();
    assert_eq!(expires().await, [format!("seg#{}#2#0#sbs", job_id())], "b holds a permit");
    stage.ledger.release(&b.fence()).await.unwrap();
    assert_eq!(expires().await.len(), 2);
    stage.ledger.advance(&job_id(), JobStatus::Failed, None, Some("x"), NOW).await.unwrap();
    assert_eq!(expires().await.len(), 3, "and the list of the job's cuts");
    assert_eq!(stage.ledger.segments(&job_id()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn triggers_and_locks_of_deployed_parts_are_respected() {
    let stage = Stage::new().await;
    stage.put(&stage.tables.jobs, deployed_job("chunking_complete", Some(1))).await;
    let row = stage.start(&segment(0, 1)).await;
    stage.ledger.complete(&row.fence(), true, NOW).await.unwrap();
    let deployed = item([
        ("job_id", s(job_id().as_str())),
        ("triggered_at", n(1_700_000_000)),
        ("ttl", n(1_707_776_000)),
    ]);
    stage.put(&stage.tables.triggers, deployed.clone()).await;
    let trigger = async |seconds| {
        let now = Timestamp(1_700_000_000_000) + Duration::from_secs(seconds);
        stage.ledger.trigger(&job_id(), "n", RESEND, now).await.unwrap()
    };
    assert_eq!(trigger(30).await, TriggerOutcome::Pending, "its writer may be about to send");
    let mut locked = deployed;
    locked.insert("reassembly_started_at".to_owned(), n(1_700_000_010));
    stage.put(&stage.tables.triggers, locked).await;
    let lock = async |nonce: &'static str, seconds| {
        let now = Timestamp(1_700_000_000_000) + Duration::from_secs(seconds);
        let until = now + Duration::from_secs(120);
        stage.ledger.lock_reassembly(&job_id(), nonce, until, now).await.unwrap()
    };
    assert_eq!(lock("w", 20).await, Lock::Held(Timestamp(1_700_007_210_000)));
    assert_eq!(lock("w", 7210).await, Lock::Acquired(1), "nobody reassembles for two hours");
    let key = [("job_id", s(job_id().as_str()))];
    let ours = stage.get(&stage.tables.triggers, key.clone()).await;
    assert!(ours.contains_key("reassembly_started_at"), "what deployed parts take for the lock");
    assert_eq!(ours["ttl"], n(1_707_776_000));
    stage.ledger.unlock_reassembly(&job_id(), "w").await.unwrap();
    let ours = stage.get(&stage.tables.triggers, key).await;
    assert!(!ours.contains_key("reassembly_started_at"), "free for them too");
}
