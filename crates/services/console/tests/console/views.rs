//! What is shown, and what it costs to gather it.

use std::collections::BTreeMap;

use parallax_job::{JobStatus, Mode, Timestamp};
use parallax_ports::ledger::Job;
use parallax_ports::{Ledger, Replica, Replicas, Switches};

use crate::served::{Served, USUAL, now};

#[tokio::test]
async fn failed_jobs_come_first_with_their_reasons_and_nothing_foreign_is_markup() {
    let served = Served::start(USUAL).await;
    served.job("running", JobStatus::ChunkingComplete, 2).await;
    let job = Job {
        title: Some("<script>alert(1)</script> & more".to_owned()),
        reason: Some("segment 1: <img src=x onerror=alert(1)>".to_owned()),
        status: JobStatus::Failed,
        ..Job::new("failed".parse().unwrap(), Mode::Sbs, Timestamp(1_700_000_000_000))
    };
    served.ledger.create_job(&job).await.unwrap();
    served.ledger.set_paused("segments", true).await.unwrap();
    let page = served.get("/").await.body;
    for foreign in ["<script>alert", "<img src=x"] {
        assert!(!page.contains(foreign), "{page}");
    }
    assert!(page.contains("&lt;script&gt;alert(1)") && page.contains("&lt;img src=x"), "{page}");
    let (failed, running) = (page.find("/jobs/failed\""), page.find("/jobs/running\""));
    assert!(failed.unwrap() < running.unwrap(), "failed ones are on top");
    assert!(page.contains("The role segments is paused"), "{page}");
    let data = served.get("/api/").await.json();
    assert_eq!(data["failed"]["jobs"][0]["job_id"], "failed");
    assert_eq!(data["active"]["jobs"][0]["job_id"], "running");
    served.stop().await;
}

#[tokio::test]
async fn one_job_is_explained_segment_by_segment_with_its_attempts() {
    let served = Served::start(USUAL).await;
    let job = served.failed_job("job-1").await;
    let page = served.get("/jobs/job-1").await.body;
    for expected in [
        "It failed because segment 1: out of memory on &lt;b&gt;gpu&lt;/b&gt; token=[redacted]",
        "Waits for an operator: it was given up",
        "segment 0: completed",
        "segment 1: failed, attempt 2",
        "segment 2: unknown",
        "Attempt 1 began",
        "ended with model",
        "<svg",
        "href=\"/do/redrive/job-1\"",
        "href=\"/do/delete/job-1\"",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    assert!(!page.contains("canary"), "a secret of an error's text");
    assert!(!page.contains("/do/cancel"), "it has failed already");
    let data = served.get("/api/jobs/job-1").await.json();
    assert_eq!(data["segments"][1]["begun"].as_array().unwrap().len(), 2, "{data}");
    assert_eq!(data["segments"][1]["begun"][0]["error"], "model");
    assert_eq!(data["completed"], 1);
    let at_work = served.job("job-2", JobStatus::ChunkingComplete, 2).await;
    served.attempt(&at_work, 0, 2).await;
    let page = served.get("/jobs/job-2").await.body;
    assert!(page.contains("holds permit") && page.contains("/do/cancel/job-2"), "{page}");
    let permits = served.get("/api/permits").await.json();
    assert_eq!(
        (&permits["max_in_flight"], permits["permits"].as_array().unwrap().len()),
        (&5.into(), 1)
    );
    assert_eq!(permits["permits"][0]["job_id"], "job-2");
    assert!(permits["permits"][0]["since"].as_i64().unwrap() <= now().0);
    assert!(served.get("/permits").await.body.contains("1 of 5"));
    drop(job);
    served.stop().await;
}

#[tokio::test]
async fn dead_letters_are_shown_with_reasons_and_without_secrets() {
    let served = Served::start(USUAL).await;
    let body = r#"{"html":"<b>x</b>","url":"https://b.example/k?X-Amz-Signature=canary","HF_TOKEN":"canary"}"#;
    served.dead_letter(body, "exhausted <i>after</i> 9 deliveries").await;
    served.dead_letter("a canary-of-the-servers within", "Authorization: Bearer canary").await;
    served.dead_letter(&"x".repeat(5000), "long").await;
    let page = served.get("/queues").await.body;
    assert!(page.contains("exhausted &lt;i&gt;after&lt;/i&gt; 9 deliveries"), "{page}");
    assert!(page.contains("&lt;b&gt;x&lt;/b&gt;") && !page.contains("<b>x"), "{page}");
    assert!(!page.contains("canary") && page.contains("[redacted]"), "{page}");
    assert!(!page.contains(&"x".repeat(700)) && page.contains("xxx…"), "cut");
    let data = served.get("/api/queues").await.json();
    assert_eq!(data["dead_letters"][0]["letters"].as_array().unwrap().len(), 3, "{data}");
    assert!(!data.to_string().contains("canary"), "{data}");
    assert_eq!(served.dead.contents().len(), 3, "they stay");
    assert_eq!(served.dead.hidden(), 0, "and can be received");
    served.stop().await;
}

#[tokio::test]
async fn replicas_are_shown_with_what_they_say_and_when_they_say_nothing_more() {
    let served = Served::start(USUAL).await;
    let replica = |id: &str, seen, why: &[&str]| Replica {
        id: id.to_owned(),
        version: "0.2.0 (abc)".to_owned(),
        roles: "segments".to_owned(),
        since: seen,
        seen,
        not_ready: why
            .iter()
            .map(|why| ("backend".to_owned(), (*why).to_owned()))
            .collect::<BTreeMap<_, _>>(),
    };
    served.records.announce(&replica("well", now(), &[])).await.unwrap();
    served.records.announce(&replica("ill", now(), &["no answer"])).await.unwrap();
    let long_ago = now() - std::time::Duration::from_secs(600);
    served.records.announce(&replica("gone", long_ago, &[])).await.unwrap();
    let data = served.get("/api/replicas").await.json();
    let found: Vec<_> = data["replicas"].as_array().unwrap().iter().collect();
    assert_eq!(found.len(), 3);
    assert_eq!((&found[0]["id"], &found[0]["is_silent"]), (&"gone".into(), &true.into()));
    assert_eq!(found[1]["not_ready"]["backend"], "no answer");
    let page = served.get("/replicas").await.body;
    assert!(page.contains("backend: no answer") && page.contains("0.2.0 (abc)"), "{page}");
    served.stop().await;
}

#[tokio::test]
async fn a_list_of_a_thousand_jobs_costs_as_many_calls_as_one_of_none() {
    let served = Served::start(USUAL).await;
    for path in ["/", "/jobs?status=completed"] {
        assert_eq!(served.get(path).await.status, 200);
    }
    let empty = served.faults.trace();
    for n in 0..1000 {
        let status = if n % 2 == 0 { JobStatus::Completed } else { JobStatus::ChunkingComplete };
        served.job(&format!("job-{n}"), status, 200).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let page = served.get("/jobs?status=completed").await.body;
    assert_eq!(served.get("/").await.status, 200);
    let both = served.faults.trace();
    assert_eq!(both.len(), 2 * empty.len(), "{both:?}");
    let of_segments = |name: &&&str| name.contains("segment") || name.contains("completions");
    assert_eq!(both.iter().find(of_segments), None, "no list looks at segments");
    assert_eq!(page.matches("class=\"card job\"").count(), 50, "a page");
    let mut seen = 50;
    let mut page = page;
    while let Some(at) = page.find("href=\"/jobs?status=completed&amp;after=") {
        let next = page[at + 6..].split('"').next().unwrap().replace("&amp;", "&");
        page = served.get(&next).await.body;
        seen += page.matches("class=\"card job\"").count();
    }
    assert_eq!(seen, 500, "all of them, page by page");
    served.stop().await;
}
