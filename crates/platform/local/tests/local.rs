//! What the embedded adapters do beyond the ports' contracts.

// Helpers fail like the tests that call them.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parallax_job::{JobStatus, Mode, Segment, Timestamp, Uri};
use parallax_local::{
    Database, LocalObjects, Recovered, SqliteLedger, SqliteQueue, StateDir, Transfer,
};
use parallax_ports::ledger::{
    AttemptError, Cost, HolderId, Intent, IntentOutcome, Job, Lock, Resend, SegmentRow,
    SegmentState, TriggerOutcome,
};
use parallax_ports::{
    Clock, Custody, Depth, Kind, Ledger, Locations, ObjectStore, Queue, SystemClock,
};

const LONG: Duration = Duration::from_secs(600);

async fn database(folder: &Path) -> Arc<Database> {
    Database::open(folder.join("parallax.db")).await.unwrap()
}

fn store(folder: &Path) -> LocalObjects {
    LocalObjects::open(folder.join("objects"), Arc::new(SystemClock), vec![]).unwrap()
}

fn uri(path: &Path) -> Uri {
    Uri::file(path).unwrap()
}

#[tokio::test]
async fn a_message_received_too_often_is_buried_with_its_story() {
    let folder = tempfile::tempdir().unwrap();
    let db = database(folder.path()).await;
    let clock = Arc::new(SystemClock);
    let queue = SqliteQueue::new(db.clone(), "work", clock.clone()).with_dead_letter("dead", 2);
    let dead = SqliteQueue::new(db, "dead", clock);
    queue.send("poison", &[("why", "it's \"so\"")]).await.unwrap();
    for count in 1..=2 {
        let message = queue.receive(1, Duration::ZERO, LONG).await.unwrap().swap_remove(0);
        assert_eq!(message.receive_count, count);
        queue.change_visibility(&message.receipt, Duration::ZERO).await.unwrap();
    }
    queue.send("healthy", &[]).await.unwrap();
    let batch = queue.receive(10, Duration::ZERO, LONG).await.unwrap();
    assert_eq!(batch.iter().map(|m| &m.body[..]).collect::<Vec<_>>(), ["healthy"]);
    let buried = dead.peek(10).await.unwrap().swap_remove(0);
    let wanted = [
        ("why", "it's \"so\""),
        ("reason", "exhausted"),
        ("src_queue", "work"),
        ("src_message_id", "1"),
        ("receive_count", "2"),
    ];
    let found: Vec<_> = buried.attributes.iter().map(|(k, v)| (&k[..], &v[..])).collect();
    assert_eq!((&buried.body[..], &found[..]), ("poison", &wanted[..]));
    let again = dead.receive(1, Duration::ZERO, LONG).await.unwrap().swap_remove(0);
    assert_eq!((again.body.as_str(), again.receive_count), ("poison", 1));
    assert_eq!(queue.depth().await.unwrap(), Depth { visible: 0, hidden: 1 });
}

#[tokio::test]
async fn after_a_crash_the_sole_owner_sees_everything_again() {
    let folder = tempfile::tempdir().unwrap();
    let db = database(folder.path()).await;
    let [one, other] = ["one", "other"]
        .map(|name| SqliteQueue::new(db.clone(), name, Arc::new(SystemClock) as Arc<dyn Clock>));
    for queue in [&one, &other] {
        queue.send("x", &[]).await.unwrap();
        queue.send("y", &[]).await.unwrap();
        queue.receive(10, Duration::ZERO, LONG).await.unwrap();
    }
    let (waiting, released) =
        tokio::join!(one.receive(10, Duration::from_secs(9), LONG), one.release_all());
    assert_eq!((waiting.unwrap().len(), released.unwrap()), (2, 2), "a waiting receiver wakes up");
    assert_eq!(one.release_all().await.unwrap(), 2);
    let counts: Vec<_> = one.peek(9).await.unwrap().iter().map(|e| e.receive_count).collect();
    assert_eq!(counts, [2, 2], "counts stay, so that poison is found");
    assert_eq!(other.depth().await.unwrap(), Depth { visible: 0, hidden: 2 }, "by queue");
}

fn segment(index: u32) -> Segment {
    Segment::new("job".parse().unwrap(), index, 9, Mode::Sbs).unwrap()
}

async fn start(ledger: &SqliteLedger, index: u32, custody: Custody) -> SegmentRow {
    let (now, name) = (Timestamp(0), format!("n{index}"));
    let holder = HolderId(name.clone());
    ledger.reserve(&holder, 99, Timestamp(60_000), now).await.unwrap();
    let place: Uri = "s3://output/x".parse().unwrap();
    let (input, output, deadline) = (place.clone(), place, Timestamp(1_000_000));
    let intent = Intent {
        segment: segment(index),
        holder,
        nonce: name,
        custody,
        input,
        output,
        deadline,
        lease: None,
        now,
    };
    match ledger.record_intent(&intent).await.unwrap() {
        IntentOutcome::Recorded(row) => *row,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_sole_owner_ends_what_its_predecessor_ran_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::open_exclusive(folder.path().join("state")).unwrap();
    let ledger = SqliteLedger::new(Database::open(state.database()).await.unwrap());
    let job = Job::new("job".parse().unwrap(), Mode::Sbs, Timestamp(0));
    ledger.create_job(&job).await.unwrap();
    let mine = start(&ledger, 0, Custody::Caller).await;
    let theirs = start(&ledger, 1, Custody::Backend).await;
    let handed_over = start(&ledger, 2, Custody::Caller).await;
    let places = Locations::default();
    ledger.record_invoked(&handed_over.fence(), &places, Timestamp(2_000_000)).await.unwrap();
    let busy = start(&ledger, 3, Custody::Backend).await;
    ledger.complete(&busy.fence(), false, Timestamp(1)).await.unwrap();
    let done = start(&ledger, 4, Custody::Caller).await;
    ledger.complete(&done.fence(), false, Timestamp(1)).await.unwrap();
    let waiting = start(&ledger, 5, Custody::Caller).await;
    let error = AttemptError::new("internal", "x");
    ledger.retry(&waiting.fence(), Timestamp(9_999_999), &error, Cost::Failure).await.unwrap();
    ledger.reserve(&HolderId("free".into()), 99, Timestamp(60_000), Timestamp(0)).await.unwrap();

    let now = Timestamp(5_000);
    let recovered = ledger.recover_sole_owner(&state, now).await.unwrap();
    assert_eq!(recovered, Recovered { segments: 1, holders: 3, reassemblies: 0 });
    let again = ledger.segment(&mine.segment).await.unwrap().unwrap();
    assert_eq!((again.state, again.failures), (SegmentState::RetryWait, 0), "not counted");
    assert_eq!((again.next_at, again.holder), (now, None));
    assert_eq!(ledger.due(now, 9).await.unwrap().len(), 1, "only what was interrupted is due");
    assert_eq!(ledger.segment(&theirs.segment).await.unwrap().unwrap(), theirs);
    let mut held: Vec<_> = ledger.holders().await.unwrap().into_iter().map(|h| h.id.0).collect();
    held.sort();
    assert_eq!(held, ["n1", "n2", "n3"], "permits of backends stay");
    assert_eq!(ledger.segment(&done.segment).await.unwrap().unwrap().holder, None);
    let renewed = ledger.renew(&mine.fence(), Timestamp(9)).await.unwrap();
    assert_eq!(renewed, parallax_ports::ledger::Ended::Fenced, "the predecessor is out");
    let twice = ledger.recover_sole_owner(&state, now).await.unwrap();
    assert_eq!(twice, Recovered { segments: 0, holders: 0, reassemblies: 0 });
    drop(state);
    let shared = StateDir::open_shared(folder.path().join("state")).unwrap();
    let refused = ledger.recover_sole_owner(&shared, now).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Rejected);
}

#[tokio::test]
async fn the_sole_owner_may_reassemble_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::open_exclusive(folder.path().join("state")).unwrap();
    let ledger = SqliteLedger::new(Database::open(state.database()).await.unwrap());
    let (job, now) = ("job".parse().unwrap(), Timestamp(0));
    let made = Job::new("job".parse().unwrap(), Mode::Sbs, now);
    let made = Job { status: JobStatus::ChunkingComplete, total_segments: Some(1), ..made };
    let only = Segment::new("job".parse().unwrap(), 0, 1, Mode::Sbs).unwrap();
    // Of another cut, which the job does not have yet.
    let row = start(&ledger, 8, Custody::Caller).await;
    ledger.create_job(&made).await.unwrap();
    assert_ne!(row.segment, only);
    let holder = HolderId("h".into());
    ledger.reserve(&holder, 9, Timestamp(60_000), now).await.unwrap();
    let intent = Intent {
        segment: only.clone(),
        holder,
        nonce: "h".into(),
        custody: Custody::Caller,
        input: row.input.clone(),
        output: row.output.clone(),
        deadline: row.deadline,
        lease: None,
        now,
    };
    ledger.record_intent(&intent).await.unwrap();
    let fence = ledger.segment(&only).await.unwrap().unwrap().fence();
    ledger.complete(&fence, true, now).await.unwrap();
    let resend = Resend { unconfirmed: LONG, unfinished: LONG };
    ledger.trigger(&job, "t", resend, now).await.unwrap();
    ledger.triggered(&job, now).await.unwrap();
    let far = Timestamp(9_000_000);
    assert_eq!(ledger.lock_reassembly(&job, "dead", far, now).await.unwrap(), Lock::Acquired(1));
    assert_eq!(ledger.lock_reassembly(&job, "new", far, now).await.unwrap(), Lock::Held(far));
    let recovered = ledger.recover_sole_owner(&state, now).await.unwrap();
    assert_eq!(recovered, Recovered { segments: 1, holders: 1, reassemblies: 1 });
    assert_eq!(ledger.lock_reassembly(&job, "new", far, now).await.unwrap(), Lock::Acquired(1));

    // A result that is lost is made again, and joined only then.
    ledger.unlock_reassembly(&job, "new").await.unwrap();
    ledger.advance(&job, JobStatus::Completed, None, None, now).await.unwrap();
    assert!(ledger.redo_as_sole_owner(&state, &only, now).await.unwrap());
    assert!(!ledger.redo_as_sole_owner(&state, &only, now).await.unwrap(), "it is not done now");
    let again = ledger.segment(&only).await.unwrap().unwrap();
    assert_eq!((again.state, again.failures, again.next_at), (SegmentState::RetryWait, 0, now));
    let back = ledger.job(&job).await.unwrap().unwrap();
    assert_eq!((back.status, back.completed_at), (JobStatus::ChunkingComplete, None));
    assert_eq!(ledger.completions(&job, 1).await.unwrap(), []);
    assert_eq!(ledger.lock_reassembly(&job, "x", far, now).await.unwrap(), Lock::NotTriggered);
    let asked = ledger.trigger(&job, "t2", resend, now).await.unwrap();
    assert_eq!(asked, TriggerOutcome::NotReady);
}

#[tokio::test]
async fn nothing_outside_of_the_root_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    store.bucket("input").unwrap();
    let root = folder.path().join("objects").canonicalize().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "secret").unwrap();
    symlink(folder.path(), root.join("input/folder")).unwrap();
    symlink(&secret, root.join("input/file")).unwrap();
    symlink(folder.path(), root.join("linked-bucket")).unwrap();
    std::fs::create_dir(root.join("input/below")).unwrap();
    std::fs::write(root.join("input/plain"), "x").unwrap();
    for hostile in [
        uri(&secret),
        uri(&root),
        uri(&root.join("input")),
        uri(&root.join("input/folder/secret")),
        uri(&root.join("input/file")),
        uri(&root.join("linked-bucket/secret")),
        uri(&root.join("input/.partial/x")),
        uri(&root.join("input/a\\b")),
        uri(&root.join("input").join("x/".repeat(600))),
        Uri::File(root.join("input/../../secret")),
        "s3://input/key".parse().unwrap(),
    ] {
        let why = format!("{hostile}");
        let kinds = [
            store.head(&hostile).await.unwrap_err().kind(),
            store.read(&hostile, 9).await.unwrap_err().kind(),
            store.download(&hostile, &folder.path().join("to")).await.unwrap_err().kind(),
            store.write(&hostile, b"x").await.unwrap_err().kind(),
            store.upload(&secret, &hostile).await.unwrap_err().kind(),
            store.delete(&hostile).await.unwrap_err().kind(),
        ];
        assert_eq!(kinds, [Kind::Rejected; 6], "{why}");
    }
    assert_eq!(std::fs::read(&secret).unwrap(), b"secret");
    // A name cannot be a folder and an object.
    for (taken, why) in
        [("below", "other objects lie below"), ("plain/x", "an object has the name")]
    {
        let error = store.write(&uri(&root.join("input").join(taken)), b"x").await.unwrap_err();
        assert!(error.kind() == Kind::Rejected && error.to_string().contains(why), "{error}");
    }
    for bad in ["", ".", "..", "a/b", ".hidden"] {
        assert_eq!(store.bucket(bad).unwrap_err().kind(), Kind::Rejected, "{bad:?}");
    }
}

#[tokio::test]
async fn the_root_may_be_a_link_and_addresses_may_say_so() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("real")).unwrap();
    symlink(folder.path().join("real"), folder.path().join("objects")).unwrap();
    let store = store(folder.path());
    let spelled = uri(&folder.path().join("objects/input/key"));
    store.write(&spelled, b"x").await.unwrap();
    let real = uri(&folder.path().canonicalize().unwrap().join("real/input/key"));
    assert_eq!(store.read(&real, 9).await.unwrap(), b"x");
    assert_eq!(store.path(&spelled).unwrap(), store.path(&real).unwrap());
}

#[tokio::test]
async fn linked_transfers_move_no_bytes_and_replacing_reaches_no_copy() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).with_transfer(Transfer::Link);
    let bucket = store.bucket("input").unwrap();
    let film = uri(&folder.path().canonicalize().unwrap().join("objects/input/film"));
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    std::fs::write(&from, "film").unwrap();
    let old = std::time::SystemTime::UNIX_EPOCH;
    std::fs::File::open(&from).unwrap().set_modified(old).unwrap();
    let before = SystemClock.now();
    store.upload(&from, &film).await.unwrap();
    let inode = |path: &Path| std::fs::metadata(path).unwrap().ino();
    assert_eq!(inode(&store.path(&film).unwrap()), inode(&from));
    let named = store.head(&film).await.unwrap().unwrap().modified;
    assert!(named >= before - Duration::from_millis(100), "as new as its name");
    assert_eq!(std::fs::metadata(&from).unwrap().modified().unwrap(), old, "it is its owner's");
    store.download(&film, &to).await.unwrap();
    assert_eq!(inode(&to), inode(&from));
    // The same file once more, under the name that it has.
    store.upload(&from, &film).await.unwrap();
    assert_eq!(store.read(&film, 9).await.unwrap(), b"film");
    // Downloading over a linked file writes a new one.
    let copying = LocalObjects::open(folder.path().join("objects"), Arc::new(SystemClock), vec![]);
    let other = uri(&folder.path().canonicalize().unwrap().join("objects/input/other"));
    let copying = copying.unwrap();
    copying.write(&other, b"something else").await.unwrap();
    copying.download(&other, &to).await.unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), b"something else");
    assert_eq!(store.read(&film, 9).await.unwrap(), b"film");
    assert_eq!(bucket.name(), "input");
    let partial = folder.path().join("objects/input/.partial");
    assert_eq!(std::fs::read_dir(&partial).unwrap().count(), 0);
    std::fs::write(partial.join("left behind"), "x").unwrap();
    assert_eq!(store.sweep_partial(LONG).await.unwrap(), 0, "it may be in use");
    assert_eq!(store.sweep_partial(Duration::ZERO).await.unwrap(), 1);
}
