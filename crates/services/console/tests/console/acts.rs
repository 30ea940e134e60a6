//! Buttons: each asks first, does what the command does, is written down, and may be pressed twice.

use parallax_job::{JobId, JobStatus};
use parallax_ports::{Ledger, Queue, Switches};

use crate::served::{Served, TOKEN, USUAL};

async fn status(served: &Served, job: &JobId) -> JobStatus {
    served.ledger.job(job).await.unwrap().unwrap().status
}

/// The outcomes of all acts by what they were, the latest first.
async fn acts(served: &Served) -> Vec<(String, String, String)> {
    let data = served.get("/api/acts").await.json();
    let text = |act: &serde_json::Value, name: &str| act[name].as_str().unwrap_or("-").to_owned();
    let all = data["acts"].as_array().unwrap().iter();
    all.map(|act| (text(act, "who"), text(act, "what"), text(act, "outcome"))).collect()
}

#[tokio::test]
async fn a_failed_job_is_redriven_once_it_was_confirmed_and_written_down() {
    let served = Served::start(USUAL).await;
    let job = served.failed_job("job-1").await;
    let stranger = served.get("/do/redrive/job-1").await;
    assert_eq!(stranger.header("location"), Some("/enter?next=%2Fdo%2Fredrive%2Fjob-1"));
    let cookie = served.enter().await;
    let own = [("cookie", &*cookie)];
    let asked = served.send("GET", "/do/redrive/job-1", &own, b"").await;
    assert_eq!(asked.status, 200);
    assert!(asked.body.contains("would be reopened: segment job-1/1 of 3"), "{asked:?}");
    assert!(asked.body.contains("video-worker redrive --job job-1"), "{asked:?}");
    assert_eq!(status(&served, &job).await, JobStatus::Failed, "it was only asked");
    assert_eq!(acts(&served).await, []);
    let done = served.send("POST", "/do/redrive/job-1", &own, b"").await;
    assert!(done.status == 200 && done.body.contains("reopened: segment job-1/1 of 3"), "{done:?}");
    assert_eq!(status(&served, &job).await, JobStatus::ChunkingComplete);
    assert_eq!(served.segments.contents().len(), 1, "its event was sent");
    let again = served.send("POST", "/do/redrive/job-1", &own, b"").await;
    assert!(again.body.contains("there is nothing to do"), "{again:?}");
    assert_eq!(served.segments.contents().len(), 1, "once");
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let all = acts(&served).await;
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!((&*all[1].0, &*all[1].1), ("ann", "redrive --job job-1"));
    assert!(
        all[1].2.starts_with("reopened: segment job-1/1 of 3") && !all[1].2.contains("canary"),
        "{all:?}"
    );
    assert_eq!(all[0].2, "there is nothing to do");
    assert!(served.get("/acts").await.body.contains("redrive --job job-1"));
    served.stop().await;
}

#[tokio::test]
async fn jobs_are_cancelled_and_deleted_and_roles_paused_by_programs_too() {
    let served = Served::start(USUAL).await;
    let job = served.job("job-1", JobStatus::ChunkingComplete, 2).await;
    served.attempt(&job, 0, 2).await;
    let bearer = format!("Bearer {TOKEN}");
    // A program has no origin.
    let headers = [("authorization", &*bearer), ("origin", "")];
    let ask = async |path: &str, body: &str| {
        let answer =
            served.send("POST", &format!("/api/do/{path}"), &headers, body.as_bytes()).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    };
    let plan = ask("cancel/job-1", r#"{"dry_run":true}"#).await;
    assert_eq!(plan["steps"][0], "would be cancelled: job job-1 (it was chunking_complete)");
    assert_eq!(
        (status(&served, &job).await, &plan["act"]),
        (JobStatus::ChunkingComplete, &serde_json::Value::Null)
    );
    let refused = ask("delete/job-1", "").await;
    assert!(refused["steps"][0].as_str().unwrap().contains("cancel it first"), "{refused}");
    let done = ask("cancel/job-1", r#"{"because":"wrong film\nreally"}"#).await;
    assert_eq!(done["steps"][0], "cancelled: job job-1 (it was chunking_complete)");
    let reason = served.ledger.job(&job).await.unwrap().unwrap().reason.unwrap();
    assert_eq!(reason, "cancelled by an operator: wrong film really");
    let done = ask("cancel/job-1", "{}").await;
    assert!(done["steps"][0].as_str().unwrap().starts_with("nothing to do: "), "{done}");
    let refused = ask("delete/job-1", "{}").await;
    assert!(
        refused["steps"][0].as_str().unwrap().contains("an attempt at segment 0 runs"),
        "{refused}"
    );
    ask("delete/job-1", r#"{"force":true}"#).await;
    assert_eq!(status(&served, &job).await, JobStatus::Deleted);
    assert_eq!(served.ledger.holders().await.unwrap(), [], "its permit is free");
    let unknown = ask("cancel/nobody", "").await;
    assert!(unknown["error"].as_str().unwrap().contains("there is none of this id"), "{unknown}");
    ask("pause/chunking", "").await;
    assert!(served.ledger.paused().await.unwrap().contains("chunking"));
    ask("resume/chunking", "").await;
    assert!(served.ledger.paused().await.unwrap().is_empty());
    let all = acts(&served).await;
    let whats: Vec<&str> = all.iter().rev().map(|(_, what, _)| &**what).collect();
    assert_eq!(
        whats,
        [
            "delete job-1",
            "cancel job-1 --because \"wrong film really\"",
            "cancel job-1",
            "delete job-1",
            "delete job-1 --force",
            "cancel nobody",
            "pause chunking",
            "resume chunking",
        ]
    );
    assert!(all.iter().all(|(who, ..)| who == "a program"), "{all:?}");
    assert!(all[2].2.starts_with("failed: job nobody"), "{all:?}");
    served.stop().await;
}

#[tokio::test]
async fn dead_letters_go_back_by_a_button() {
    let served = Served::start(USUAL).await;
    served.job("job-1", JobStatus::ChunkingComplete, 2).await;
    let event = r#"{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"input"},
        "object":{"key":"segments/job-1/00000_00002_sbs.mp4","size":1}}}]}"#;
    served.dead_letter(event, "exhausted").await;
    served.dead.send("not JSON", &[]).await.unwrap();
    let cookie = served.enter().await;
    let own = [("cookie", &*cookie)];
    assert!(served.send("GET", "/queues", &own, b"").await.body.contains("href=\"/do/redrive\""));
    let asked = served.send("GET", "/do/redrive", &own, b"").await.body;
    assert!(
        asked.contains("would be moved: message") && asked.contains("(to segments)"),
        "{asked}"
    );
    assert!(asked.contains("refused: message"), "{asked}");
    assert_eq!(served.dead.contents().len(), 2);
    let done = served.send("POST", "/do/redrive", &own, b"").await.body;
    assert!(done.contains(">moved: message"), "{done}");
    assert_eq!(served.segments.contents()[0].0, event, "as it was");
    assert_eq!(served.dead.contents().len(), 1);
    served.stop().await;
}
