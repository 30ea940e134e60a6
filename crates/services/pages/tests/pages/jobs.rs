//! The queue, its events and results.

use std::fs;

use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use crate::served::Served;

fn go(folder: &TempDir) {
    fs::write(folder.path().join("go"), "").unwrap();
}

fn arguments(folder: &TempDir, job: &str) -> String {
    fs::read_to_string(folder.path().join("results").join(job).join("arguments")).unwrap()
}

/// What a stream of events says until `last` is among it, after the event that `since` names.
async fn told(served: &Served, since: &str, last: &str) -> String {
    let mut stream = served.open("GET", "/api/events", &[("last-event-id", since)], b"").await;
    let mut said = Vec::new();
    let mut chunk = [0; 4096];
    while !String::from_utf8_lossy(&said).contains(last) {
        let count = stream.read(&mut chunk).await.unwrap();
        assert!(count > 0, "the stream ended: {}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&chunk[..count]);
    }
    String::from_utf8(said).unwrap()
}

/// The id of the last event.
fn last_id(said: &str) -> String {
    let mut ids = said.lines().filter_map(|line| line.strip_prefix("id: "));
    ids.next_back().unwrap().to_owned()
}

#[tokio::test]
async fn a_film_is_converted_and_its_result_is_read_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(&folder).await;
    let film = served.drop_film("clip.mp4").await;
    let job = served.convert(&film).await;
    let converting = served.reached(&job, "converting").await;
    assert_eq!(converting["name"], "clip.mp4");
    let busy = served.send("DELETE", &format!("/api/films/{film}"), &[], b"").await;
    assert_eq!(busy.status, 409, "it is needed");
    go(&folder);
    let done = served.reached(&job, "done").await;
    assert_eq!((&done["percent"], &done["result"]["name"]), (&100.into(), &"made.mp4".into()));
    let said = arguments(&folder, &job);
    assert!(
        said.contains("--engine draft --disparity 2.5% --convergence 0.5 --layout full-sbs"),
        "{said}"
    );
    let path = format!("/api/jobs/{job}/result");
    let whole = served.get(&path).await;
    assert_eq!((whole.status, &*whole.body), (200, "0123456789"));
    assert_eq!(whole.header("content-type"), Some("video/mp4"));
    let part = served.send("GET", &path, &[("range", "bytes=2-4")], b"").await;
    assert_eq!((part.status, &*part.body), (206, "234"));
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
    let etag = whole.header("etag").unwrap();
    let same = served.send("GET", &path, &[("if-none-match", etag)], b"").await;
    assert_eq!(same.status, 304);
    let stale = [("range", "bytes=2-4"), ("if-range", "\"old\"")];
    assert_eq!(served.send("GET", &path, &stale, b"").await.status, 200, "another file by now");
    let saved = served.get(&format!("{path}?save")).await;
    let how = saved.header("content-disposition").unwrap();
    assert_eq!(how, "attachment; filename*=UTF-8''made.mp4");
    assert!(
        served.get(&format!("/watch/{job}")).await.body.contains("data-packing=\"left-right\"")
    );
    let deleted = served.send("DELETE", &format!("/api/jobs/{job}"), &[], b"").await;
    assert_eq!((deleted.status, served.get(&path).await.status), (204, 404));
    assert!(!folder.path().join("results").join(&job).exists());
    served.stop().await;
}

#[tokio::test]
async fn a_conversion_is_stopped_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(&folder).await;
    let film = served.drop_film("clip.mp4").await;
    let (first, second) = (served.convert(&film).await, served.convert(&film).await);
    served.at_work(&first).await;
    served.reached(&second, "waiting").await;
    let act = async |job: &str, what: &str| {
        served.send("POST", &format!("/api/jobs/{job}/{what}"), &[], b"").await.status
    };
    assert_eq!(act(&first, "resume").await, 409, "it was not stopped");
    assert_eq!(act(&first, "stop").await, 202);
    served.reached(&first, "stopped").await;
    served.reached(&second, "converting").await;
    assert_eq!(act(&first, "stop").await, 409, "it is stopped");
    assert_eq!(act("0123456789abcdef", "stop").await, 404);
    assert_eq!(act(&first, "resume").await, 202);
    go(&folder);
    served.reached(&first, "done").await;
    assert_eq!(arguments(&folder, &first).matches("--resume").count(), 2);
    served.stop().await;
}

#[tokio::test]
async fn a_restart_goes_on_with_the_queue() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(&folder).await;
    let film = served.drop_film("clip.mp4").await;
    let (first, second) = (served.convert(&film).await, served.convert(&film).await);
    let stopped = served.convert(&film).await;
    served.send("POST", &format!("/api/jobs/{stopped}/stop"), &[], b"").await;
    served.at_work(&first).await;
    let cookie = served.cookie.clone();
    served.stop().await;
    assert!(!folder.path().join("results").join(&first).join("made.mp4").exists());
    go(&folder);
    let served = Served::start(&folder).await;
    served.reached(&first, "done").await;
    served.reached(&second, "done").await;
    served.reached(&stopped, "stopped").await;
    assert_eq!(arguments(&folder, &first).lines().count(), 2, "it was begun by both");
    let index = served.get("/").await.body;
    assert!(index.contains("clip.mp4") && index.contains("stopped; what is done is kept"));
    let before = served.send("GET", "/", &[("cookie", &cookie)], b"").await;
    assert_eq!(before.status, 401, "the link is opened anew");
    served.stop().await;
}

#[tokio::test]
async fn events_go_on_where_a_reader_lost_them() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(&folder).await;
    let film = served.drop_film("clip.mp4").await;
    let (first, second) = (served.convert(&film).await, served.convert(&film).await);
    let begun = told(&served, "", "2 of 4 frames").await;
    assert!(begun.contains("event: reset") && begun.contains(&first) && begun.contains(&second));
    let seen = last_id(&begun);
    served.send("POST", &format!("/api/jobs/{second}/stop"), &[], b"").await;
    served.send("DELETE", &format!("/api/jobs/{second}"), &[], b"").await;
    go(&folder);
    served.reached(&first, "done").await;
    let rest = told(&served, &seen, "\"state\":\"done\"").await;
    assert!(!rest.contains("event: reset"), "what it knows is enough: {rest}");
    let gone = format!("{{\"id\":\"{second}\"}}");
    let rest = format!("{rest}{}", told(&served, &seen, &gone).await);
    assert!(rest.contains("event: gone") && rest.contains(&gone), "{rest}");
    // An id of another process says nothing here.
    let other = told(&served, "0123456789abcdef-1", &first).await;
    assert!(other.contains("event: reset"), "{other}");
    served.stop().await;
}

#[tokio::test]
async fn why_a_conversion_failed_is_told_and_is_no_markup() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("fail"), "").unwrap();
    go(&folder);
    let served = Served::start(&folder).await;
    let film = served.drop_film("clip.mp4").await;
    let job = served.convert(&film).await;
    let failed = served.reached(&job, "failed").await;
    assert_eq!(failed["notes"][0], "<script>alert(1)</script>");
    let (index, card) = (served.get("/").await.body, failed["html"].as_str().unwrap());
    for page in [&*index, card] {
        assert!(
            page.contains("&lt;script&gt;alert(1)") && !page.contains("<script>alert"),
            "{page}"
        );
    }
    fs::remove_file(folder.path().join("fail")).unwrap();
    served.send("POST", &format!("/api/jobs/{job}/resume"), &[], b"").await;
    served.reached(&job, "done").await;
    served.stop().await;
}
