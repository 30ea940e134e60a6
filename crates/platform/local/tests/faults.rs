//! Killed processes, full disks and damaged files.
//!
//! Tests that need a process of their own start this binary again with the name of a child test;
//! the children are ignored when they are not asked for.

// Helpers fail like the tests that call them.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parallax_local::{Database, LocalObjects, SqliteQueue, StateDir, is_disk_full};
use parallax_ports::{Kind, ObjectStore, Queue, SystemClock};

const FOLDER: &str = "PARALLAX_TEST_FOLDER";
/// The file that says that no more messages come.
const ALL_SENT: &str = "all-sent";

/// This binary again, running one child test in `folder`.
fn child(test: &str, folder: &Path, shell: &str) -> Child {
    let script = format!("{shell} exec \"$0\" --ignored --exact {test} --nocapture");
    Command::new("sh")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn folder() -> PathBuf {
    std::env::var_os(FOLDER).expect("started by its parent").into()
}

async fn queue(folder: &Path) -> SqliteQueue {
    let db = Database::open(folder.join("parallax.db")).await.unwrap();
    SqliteQueue::new(db, "work", Arc::new(SystemClock)).with_poll(Duration::from_millis(50))
}

/// Reads the child's lines up to the one that starts with `text`.
fn wait_for(child: &mut Child, text: &str) -> BufReader<std::process::ChildStdout> {
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with(text) {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "the child says {text:?}");
    }
    output
}

fn numbers(text: &str) -> Vec<u32> {
    text.lines().filter_map(|line| line.strip_prefix("no ")?.parse().ok()).collect()
}

#[tokio::test]
#[ignore = "run by a_killed_process_loses_nothing_that_it_was_told"]
async fn child_that_sends() {
    let queue = queue(&folder()).await;
    for n in 0u32.. {
        queue.send(&n.to_string(), &[]).await.unwrap();
        println!("no {n}");
    }
}

#[tokio::test]
async fn a_killed_process_loses_nothing_that_it_was_told() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..4u64 {
        let folder = tempfile::tempdir_in(&folder).unwrap();
        let mut sender = child("child_that_sends", folder.path(), "");
        let mut output = wait_for(&mut sender, "no 20");
        tokio::time::sleep(Duration::from_micros(round * 731)).await;
        sender.kill().unwrap();
        sender.wait().unwrap();
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        let told = numbers(&rest).last().copied().unwrap_or(20);
        let queue = queue(folder.path()).await;
        let found: Vec<u32> =
            queue.peek(usize::MAX).await.unwrap().iter().map(|e| e.body.parse().unwrap()).collect();
        let wanted: Vec<u32> = (0..found.len() as u32).collect();
        assert_eq!(found, wanted, "in order and without gaps");
        assert!(found.len() as u32 > told, "{told} was acknowledged, {} are there", found.len());
        queue.send("the file is not locked", &[]).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "run by a_transaction_dies_with_its_process"]
async fn child_that_is_in_the_middle() {
    let db = rusqlite::Connection::open(folder().join("parallax.db")).unwrap();
    db.execute_batch("BEGIN IMMEDIATE; DELETE FROM messages;").unwrap();
    println!("\nno 1");
    std::thread::sleep(Duration::from_secs(60));
}

#[tokio::test]
async fn a_transaction_dies_with_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let queue = queue(folder.path()).await;
    queue.send("kept", &[]).await.unwrap();
    let mut deleter = child("child_that_is_in_the_middle", folder.path(), "");
    wait_for(&mut deleter, "no 1");
    assert_eq!(queue.peek(9).await.unwrap().len(), 1, "readers see what is committed");
    deleter.kill().unwrap();
    deleter.wait().unwrap();
    queue.send("not locked", &[]).await.unwrap();
    assert_eq!(queue.peek(9).await.unwrap().len(), 2, "half a transaction is none");
}

#[tokio::test]
#[ignore = "run by processes_share_a_queue"]
async fn child_that_receives() {
    let queue = queue(&folder()).await;
    loop {
        let all_sent = folder().join(ALL_SENT).exists();
        let wait = Duration::from_millis(100);
        let batch = queue.receive(3, wait, Duration::from_secs(600)).await.unwrap();
        if batch.is_empty() && all_sent {
            return;
        }
        for message in batch {
            queue.delete(&message.receipt).await.unwrap();
            println!("\nno {}", message.body);
        }
    }
}

#[tokio::test]
async fn processes_share_a_queue() {
    let folder = tempfile::tempdir().unwrap();
    let mut receivers: Vec<_> =
        (0..3).map(|_| child("child_that_receives", folder.path(), "")).collect();
    let queue = queue(folder.path()).await;
    for n in 0..200 {
        queue.send(&n.to_string(), &[]).await.unwrap();
    }
    std::fs::write(folder.path().join(ALL_SENT), "").unwrap();
    let mut all = Vec::new();
    for receiver in &mut receivers {
        let mut text = String::new();
        receiver.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(receiver.wait().unwrap().success());
        all.extend(numbers(&text));
    }
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 200, "every message is received");
    assert_eq!(all.len(), 200, "and none by two processes");
    assert_eq!(queue.peek(1).await.unwrap(), []);
}

#[tokio::test]
#[ignore = "run by a_full_disk_leaves_nothing_under_the_name"]
async fn child_that_fills_the_disk() {
    let store =
        LocalObjects::open(folder().join("objects"), Arc::new(SystemClock), vec![]).unwrap();
    let bucket = store.bucket("output").unwrap();
    let key = |name: &str| bucket.uri(&format!("jobs/{name}/final.mp4").parse().unwrap()).unwrap();
    let film = folder().join("film");
    for error in [
        store.write(&key("written"), &vec![1; 1 << 20]).await.unwrap_err(),
        store.upload(&film, &key("uploaded")).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::Unavailable, "{}", error.chain());
        assert!(is_disk_full(&error), "{}", error.chain());
        assert!(error.chain().contains("objects/output"), "{}", error.chain());
    }
    for name in ["written", "uploaded"] {
        assert_eq!(store.head(&key(name)).await.unwrap(), None);
    }
    store.write(&key("small"), b"fits").await.unwrap();
}

#[tokio::test]
async fn a_full_disk_leaves_nothing_under_the_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("film"), vec![2; 1 << 20]).unwrap();
    // A limit on the size of files stands in for a disk; an ignored signal makes it an error.
    let limit = "trap '' XFSZ; ulimit -f 256;";
    let status = child("child_that_fills_the_disk", folder.path(), limit).wait().unwrap();
    assert!(status.success());
    let partial = folder.path().join("objects/output/.partial");
    assert_eq!(std::fs::read_dir(partial).unwrap().count(), 0, "no unfinished file is left");
    assert!(folder.path().join("objects/output/jobs/small/final.mp4").exists());
}

#[tokio::test]
#[ignore = "run by the_folder_is_one_process_alone"]
async fn child_that_holds_the_folder() {
    let _held = StateDir::open_exclusive(folder()).unwrap();
    println!("\nno 1");
    std::thread::sleep(Duration::from_secs(60));
}

#[tokio::test]
async fn the_folder_is_one_process_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = child("child_that_holds_the_folder", folder.path(), "");
    wait_for(&mut holder, "no 1");
    for error in [
        StateDir::open_exclusive(folder.path()).unwrap_err(),
        StateDir::open_shared(folder.path()).unwrap_err(),
    ] {
        assert_eq!(error.kind(), Kind::Conflict);
        assert!(
            error.to_string().ends_with(&format!("in use by process {}", holder.id())),
            "{error}"
        );
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
    let ours = StateDir::open_exclusive(folder.path()).expect("a killed process holds nothing");
    assert!(ours.is_exclusive());
    drop(ours);
    let (one, two) = (StateDir::open_shared(folder.path()), StateDir::open_shared(folder.path()));
    let error = StateDir::open_exclusive(folder.path()).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
    assert!(!one.unwrap().is_exclusive() && !two.unwrap().is_exclusive());
}

#[tokio::test]
async fn damaged_foreign_and_newer_files_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good.db");
    {
        let db = Database::open(&good).await.unwrap();
        let queue = SqliteQueue::new(db, "work", Arc::new(SystemClock));
        for n in 0..200 {
            queue.send(&format!("{n} {}", "x".repeat(1000)), &[]).await.unwrap();
        }
    }
    let sql = |path: &Path, text: &str| {
        rusqlite::Connection::open(path).unwrap().execute_batch(text).unwrap();
    };
    sql(&good, "PRAGMA wal_checkpoint(TRUNCATE)");
    let whole = std::fs::read(&good).unwrap();
    assert!(whole.len() > 200_000);
    let made = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let truncated = made("truncated.db", &whole[..whole.len() / 2]);
    let header = made("header.db", &whole[..60]);
    let text = made("text.db", "not a database at all\n".repeat(500).as_bytes());
    let mut scrambled = whole.clone();
    scrambled[4096..20_000].fill(0xa5);
    let scrambled = made("scrambled.db", &scrambled);
    let newer = made("newer.db", &whole);
    sql(&newer, "PRAGMA user_version = 99");
    let foreign = folder.path().join("foreign.db");
    sql(&foreign, "CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)");
    for (path, why) in [
        (truncated, "damaged"),
        (header, "damaged"),
        (text, "damaged"),
        (scrambled, "damaged"),
        (newer, "schema 99, this program knows up to 3"),
        (foreign, "belongs to another program"),
    ] {
        let before = std::fs::read(&path).unwrap();
        let error = Database::open(&path).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Rejected, "{}", error.chain());
        let text = error.to_string();
        assert!(text.contains(why) && text.contains(path.to_str().unwrap()), "{text}");
        assert!(std::fs::read(&path).unwrap() == before, "{} was changed", path.display());
    }
    let error = Database::open(folder.path().join("no/such/folder.db")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized, "{}", error.chain());
    let again = Database::open(&good).await.unwrap();
    let queue = SqliteQueue::new(again, "work", Arc::new(SystemClock));
    assert_eq!(queue.depth().await.unwrap().visible, 200, "a good file opens again");
}
