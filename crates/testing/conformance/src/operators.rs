//! What an [`OperatorLedger`], [`Switches`] and a [`Listing`] promise.

use std::collections::BTreeSet;

use parallax_job::{JobId, JobStatus, Mode, ObjectKey, Segment, Timestamp, Uri};
use parallax_ports::ledger::{Fence, HolderId, Intent, IntentOutcome, Job, Lock, Resend, Reserve};
use parallax_ports::{
    Custody, Kind, Listing, Locations, ObjectStore, OperatorLedger, Place, Switches,
};

use crate::ledger::fixtures::{id, job};
use crate::objects::Setup;

/// `millis` after an arbitrary beginning.
fn at(millis: i64) -> Timestamp {
    Timestamp(1_700_000_000_000 + millis)
}

/// Runs every rule, each on a fresh ledger.
///
/// # Panics
/// Where the ledger breaks a promise.
pub async fn ledger<L: OperatorLedger + Switches>(make: impl AsyncFn() -> L) {
    jobs_are_listed_from_the_newest_on(&make().await).await;
    an_upload_is_recorded(&make().await).await;
    a_deleted_job_is_forgotten_and_no_other(&make().await).await;
    who_joins_a_job_is_known_until_he_has_ended(&make().await).await;
    a_role_is_paused_until_it_is_resumed(&make().await).await;
}

/// A job that was made at `millis`.
async fn made(ledger: &dyn OperatorLedger, name: &str, millis: i64, status: JobStatus) {
    let made = Job { status, ..Job::new(id(name), Mode::Sbs, at(millis)) };
    assert!(ledger.create_job(&made).await.unwrap());
}

async fn jobs_are_listed_from_the_newest_on(ledger: &dyn OperatorLedger) {
    let status = JobStatus::Created;
    // Several of one second and of one moment, so that neither may be the place of a page alone.
    let expected = ["new", "tie-c", "tie-b", "tie-a", "same-second", "old"];
    for (name, millis) in [
        ("tie-b", 5_500),
        ("old", 1_000),
        ("tie-c", 5_500),
        ("new", 9_000),
        ("tie-a", 5_500),
        ("same-second", 5_100),
    ] {
        made(ledger, name, millis, status).await;
    }
    made(ledger, "failed", 7_000, JobStatus::Failed).await;
    for limit in 1..=7 {
        let (mut found, mut from) = (Vec::new(), None);
        loop {
            let some = ledger.latest_jobs(status, from.as_ref(), limit).await.unwrap();
            assert!(some.len() <= limit, "{some:?}");
            assert!(some.iter().all(|job| job.status == status), "{some:?}");
            let Some(last) = some.last() else { break };
            from = Some(Place::of(last));
            found.extend(some.into_iter().map(|job| job.job_id.to_string()));
        }
        assert_eq!(found, expected, "by {limit}");
    }
    let first = ledger.latest_jobs(status, None, 2).await.unwrap();
    let from = Place::of(&first[1]);
    let gone = JobStatus::Failed;
    ledger.advance(&first[1].job_id, gone, None, Some("why"), at(9_500)).await.unwrap();
    made(ledger, "newer", 9_900, status).await;
    let rest = ledger.latest_jobs(status, Some(&from), 9).await.unwrap();
    let rest: Vec<_> = rest.iter().map(|job| job.job_id.as_str()).collect();
    assert_eq!(rest, expected[2..], "a place stays good when its job leaves");
}

async fn an_upload_is_recorded(ledger: &dyn OperatorLedger) {
    assert!(!ledger.uploaded(&id("nobody"), 1, at(1)).await.unwrap());
    assert_eq!(ledger.job(&id("nobody")).await.unwrap(), None, "no job is made in passing");
    let size = Some(5 << 30);
    let job = Job { source_file_size_bytes: size, ..Job::new(id("job"), Mode::Sbs, at(1_000)) };
    assert!(ledger.create_job(&job).await.unwrap());
    assert_eq!(ledger.job(&id("job")).await.unwrap(), Some(job.clone()));
    for (bytes, now) in [(7, at(2_345)), (5 << 30, at(3_456))] {
        assert!(ledger.uploaded(&id("job"), bytes, now).await.unwrap());
        let expected =
            Job { uploaded_at: Some(now), source_file_size_bytes: Some(bytes), ..job.clone() };
        assert_eq!(ledger.job(&id("job")).await.unwrap(), Some(expected));
    }
}

/// A completed segment and the trigger of a job, whose only segment it is.
async fn whole(ledger: &dyn OperatorLedger, name: &str) -> Fence {
    job(ledger, name, Some(1), JobStatus::ChunkingComplete).await;
    let segment = Segment::new(id(name), 0, 1, Mode::Sbs).unwrap();
    let holder = HolderId(format!("holder-{name}"));
    let reserved = ledger.reserve(&holder, 5, at(60_000), at(0)).await.unwrap();
    assert_eq!(reserved, Reserve::Granted);
    let uri = |text: &str| -> Uri { format!("s3://bucket/{name}/{text}").parse().unwrap() };
    let intent = Intent {
        segment: segment.clone(),
        holder,
        nonce: "n".to_owned(),
        custody: Custody::Backend,
        input: uri("in"),
        output: uri("out"),
        deadline: at(90_000),
        lease: None,
        now: at(1),
    };
    let IntentOutcome::Recorded(row) = ledger.record_intent(&intent).await.unwrap() else {
        panic!("{name}: not recorded");
    };
    let (response, failure) = (Some(uri("response")), Some(uri("failure")));
    let locations = Locations { response, failure };
    ledger.record_invoked(&row.fence(), &locations, at(90_000)).await.unwrap();
    ledger.complete(&row.fence(), false, at(2)).await.unwrap();
    let resend = Resend {
        unconfirmed: std::time::Duration::from_secs(60),
        unfinished: std::time::Duration::from_secs(600),
    };
    ledger.trigger(&id(name), "t", resend, at(3)).await.unwrap();
    ledger.triggered(&id(name), at(4)).await.unwrap();
    row.fence()
}

async fn a_deleted_job_is_forgotten_and_no_other(ledger: &dyn OperatorLedger) {
    let fence = whole(ledger, "gone").await;
    whole(ledger, "stays").await;
    let refused = async |name: &str, why: &str| {
        let error = ledger.forget(&id(name)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Rejected);
        assert!(error.to_string().contains(why), "{error}");
    };
    refused("nobody", "no such job").await;
    refused("gone", "it is reassembling").await;
    let deleted = JobStatus::Deleted;
    ledger.advance(&id("gone"), deleted, None, None, at(5)).await.unwrap();
    refused("gone", "segment 0 holds a permit").await;
    assert_eq!(ledger.segments(&id("gone")).await.unwrap().len(), 1, "nothing was removed");
    ledger.release(&fence).await.unwrap();
    assert!(ledger.forget(&id("gone")).await.unwrap() >= 3, "a row, a completion, a trigger");
    let rows = async |name: &str| {
        let response: Uri = format!("s3://bucket/{name}/response").parse().unwrap();
        (
            ledger.segments(&id(name)).await.unwrap().len(),
            ledger.completions(&id(name), 1).await.unwrap().len(),
            ledger.by_location(&response).await.unwrap().is_some(),
            ledger.holders().await.unwrap().iter().filter(|h| h.work.is_some()).count(),
        )
    };
    assert_eq!(rows("gone").await, (0, 0, false, 1));
    assert_eq!(rows("stays").await, (1, 1, true, 1));
    let job = ledger.job(&id("gone")).await.unwrap().unwrap();
    assert_eq!(job.status, deleted, "late events find it");
    assert_eq!(ledger.forget(&id("gone")).await.unwrap(), 0, "again, and there is nothing left");
}

/// Beside [`a_deleted_job_is_forgotten_and_no_other`]: who joins a job is known after it is over, too.
async fn who_joins_a_job_is_known_until_he_has_ended(ledger: &dyn OperatorLedger) {
    let until = async || ledger.reassembling_until(&id("job")).await.unwrap();
    assert_eq!(until().await, None, "there is no such job");
    let fence = whole(ledger, "job").await;
    ledger.release(&fence).await.unwrap();
    assert_eq!(until().await, None);
    let lock = async || ledger.lock_reassembly(&id("job"), "n", at(99), at(9)).await.unwrap();
    assert_eq!(lock().await, Lock::Acquired(1));
    let deleted = JobStatus::Deleted;
    ledger.advance(&id("job"), deleted, None, None, at(10)).await.unwrap();
    assert_eq!(until().await, Some(at(99)));
    assert_eq!(lock().await, Lock::Over(deleted));
    ledger.unlock_reassembly(&id("job"), "n").await.unwrap();
    assert_eq!(until().await, None);
    ledger.forget(&id("job")).await.unwrap();
    assert_eq!(lock().await, Lock::Over(deleted), "without a trigger, too");
}

async fn a_role_is_paused_until_it_is_resumed(switches: &dyn Switches) {
    let paused = async || switches.paused().await.unwrap();
    let set = async |role: &str, to| switches.set_paused(role, to).await.unwrap();
    assert_eq!(paused().await, BTreeSet::new());
    assert!(!set("segments", false).await, "it was not paused");
    assert!(set("segments", true).await);
    assert!(!set("segments", true).await, "it is already");
    assert!(set("chunking", true).await);
    assert_eq!(paused().await, BTreeSet::from(["segments", "chunking"].map(str::to_owned)));
    assert!(set("segments", false).await);
    assert_eq!(paused().await, BTreeSet::from(["chunking".to_owned()]));
    assert!(set("chunking", false).await);
    assert_eq!(paused().await, BTreeSet::new());
}

/// What is listed is what lies below a folder, part by part.
///
/// # Panics
/// Where the store breaks a promise.
pub async fn listing<S: ObjectStore + Listing>(store: &S, setup: &Setup) {
    let uri = |key: &ObjectKey| setup.bucket.uri(key).unwrap();
    let result = |job: &str, index| {
        let job_id: JobId = job.parse().unwrap();
        uri(&ObjectKey::Result { job_id, index })
    };
    let folder = |job: &str| -> Uri {
        let last = uri(&ObjectKey::Final(job.parse().unwrap())).to_string();
        last.strip_suffix("/final.mp4").unwrap().parse().unwrap()
    };
    assert_eq!(store.list(&folder("a"), None, 9).await.unwrap(), []);
    let mut expected: Vec<Uri> = (0..5).map(|index| result("a", index)).collect();
    expected.push(uri(&ObjectKey::Final(id("a"))));
    expected.push(uri(&ObjectKey::ReassemblyDone(id("a"))));
    // The name of another job begins like this one's.
    for uri in expected.iter().chain([&result("ab", 0), &result("b", 0)]) {
        store.write(uri, b"x").await.unwrap();
    }
    expected.sort_by_key(ToString::to_string);
    for limit in [1, 3, 7, 8] {
        let mut found: Vec<Uri> = Vec::new();
        loop {
            let some = store.list(&folder("a"), found.last(), limit).await.unwrap();
            assert!(some.len() <= limit, "{some:?}");
            if some.is_empty() {
                break;
            }
            found.extend(some);
        }
        assert_eq!(found, expected, "by {limit}");
    }
}
