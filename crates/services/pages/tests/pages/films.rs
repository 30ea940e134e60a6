//! What comes in.

use std::fs;

use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use crate::served::{LARGEST, Served};

/// The names of the folders that films are in.
fn kept(folder: &TempDir) -> usize {
    fs::read_dir(folder.path().join("films")).unwrap().count()
}

#[tokio::test]
async fn names_stay_in_their_folder_and_are_no_markup() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(&folder).await;
    let film = served.drop_film("..%2F..%2F..%2Fetc%2Fpasswd%3Cimg%20src=x%3E.mp4").await;
    let own = folder.path().join("films").join(&film);
    assert_eq!(fs::read(own.join("passwd_img src=x_.mp4")).unwrap(), b"a film");
    served.drop_film("%26amp;%22'.mp4").await;
    let index = served.get("/").await.body;
    assert!(index.contains("&amp;amp;_'.mp4"), "{index}");
    for path in [
        "/api/films/..%2f..%2fjobs/preview",
        "/assets/..%2f..%2fCargo.toml",
        "/api/jobs/..%2f..%2ffilms/result",
        "/watch/..%2f",
    ] {
        assert_eq!(served.get(path).await.status, 404, "{path}");
    }
    let gone = served.send("DELETE", "/api/jobs/..%2F..%2Ffilms", &[], b"").await;
    assert_eq!((gone.status, kept(&folder)), (404, 2));
    served.stop().await;
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(&folder).await;
    let path = "/api/films?name=a.mp4";
    // Nothing follows the head: an answer comes all the same.
    let huge = served.send("POST", path, &[("content-length", "100000000000")], b"").await;
    assert_eq!((huge.status, huge.header("connection")), (413, Some("close")), "{huge:?}");
    // Without a length, it is counted.
    let chunk = format!("{:x}\r\n{}\r\n", LARGEST + 1, "x".repeat(LARGEST as usize + 1));
    let chunked = [("content-length", ""), ("transfer-encoding", "chunked")];
    let counted = served.send("POST", path, &chunked, chunk.as_bytes()).await;
    assert_eq!(counted.status, 413, "{counted:?}");
    for (name, body) in
        [("film", &b"a film"[..]), ("run.sh", b"a film"), ("", b""), ("a.mp4", b"no film")]
    {
        let answer = served.send("POST", &format!("/api/films?name={name}"), &[], body).await;
        assert_eq!(answer.status, 422, "{name}: {answer:?}");
        assert!(!answer.body.contains("/films/"), "no paths of this machine: {answer:?}");
    }
    assert_eq!(kept(&folder), 0, "nothing is left of any of them");
    served.stop().await;
}

#[tokio::test]
async fn of_a_sender_who_leaves_nothing_stays() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(&folder).await;
    let half = [("content-length", "100")];
    let stream = served.open("POST", "/api/films?name=a.mp4", &half, b"half of it").await;
    while kept(&folder) == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    drop(stream);
    while kept(&folder) > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    served.stop().await;
}

#[tokio::test]
async fn a_preview_follows_what_is_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(&folder).await;
    let film = served.drop_film("my%20clip.mp4").await;
    let path = |strength: &str, layout: &str| {
        format!(
            "/api/films/{film}/preview?engine=draft&disparity_percent={strength}&convergence=0.5&layout={layout}&at=0.25"
        )
    };
    let drawn = served.get(&path("2.5", "anaglyph")).await;
    assert_eq!((drawn.status, &*drawn.body), (200, "2.5 anaglyph 0.25"));
    assert_eq!(drawn.header("parallax-near-percent"), Some("-0.500"));
    let command = drawn.header("parallax-command").unwrap();
    assert!(command.starts_with("parallax%20convert%20%27my%20clip%2Emp4%27%20"), "{command}");
    for (strength, layout) in
        [("11", "anaglyph"), ("NaN", "anaglyph"), ("", "anaglyph"), ("2", "sbs")]
    {
        assert_eq!(served.get(&path(strength, layout)).await.status, 422, "{strength} {layout}");
    }
    assert_eq!(served.get("/api/films/0123456789abcdef/preview").await.status, 404);
    served.stop().await;
}

#[tokio::test]
async fn a_head_that_does_not_come_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(&folder).await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        slow.push(tokio::net::TcpStream::connect(&served.host).await.unwrap());
    }
    assert_eq!(served.get("/").await.status, 200);
    served.stop().await;
    // At the end nobody waits for them either.
    let mut rest = Vec::new();
    let _ = slow[0].read_to_end(&mut rest).await;
}
