//! Who may read, who may act, and what is refused before anything is looked at.

use parallax_job::JobStatus;
use parallax_ports::OperatorLedger;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::served::{Served, TOKEN, USUAL, Way};

const PAGES: [&str; 7] = ["/", "/jobs", "/jobs/job-1", "/permits", "/queues", "/replicas", "/acts"];

#[tokio::test]
async fn without_a_token_everything_is_read_and_nothing_done() {
    let served = Served::start(Way { token: None, everybody_reads: true }).await;
    served.failed_job("job-1").await;
    for path in PAGES {
        let page = served.get(path).await;
        assert_eq!(page.status, 200, "{path}: {page:?}");
        assert!(!page.body.contains("/do/"), "no button on {path}");
        assert_eq!(served.get(&format!("/api{path}")).await.status, 200, "{path}");
    }
    for headers in [&[][..], &[("authorization", "Bearer ")], &[("authorization", "Bearer x")]] {
        let path = "/api/do/cancel/job-1";
        assert_eq!(served.send("POST", path, headers, b"").await.status, 403, "{headers:?}");
    }
    let form = served.send("POST", "/do/delete/job-1", &[], b"force=yes").await;
    assert_eq!(form.status, 403);
    assert_eq!(served.send("POST", "/enter", &[], b"token=").await.status, 403);
    let failed = served.ledger.latest_jobs(JobStatus::Failed, None, 9).await.unwrap();
    assert_eq!(failed.len(), 1, "it is still there");
    assert!(served.get("/api/acts").await.json()["acts"].as_array().unwrap().is_empty());
    served.stop().await;
}

#[tokio::test]
async fn beyond_this_machine_nobody_reads_without_the_token() {
    let served = Served::start(Way { everybody_reads: false, ..USUAL }).await;
    served.failed_job("job-1").await;
    for path in PAGES {
        let page = served.get(path).await;
        assert_eq!(page.status, 303, "{path}");
        assert!(page.header("location").unwrap().starts_with("/enter?next=%2F"), "{page:?}");
        assert_eq!(served.get(&format!("/api{path}")).await.status, 401, "{path}");
        assert_eq!(served.get(&format!("/events{path}")).await.status, 401, "{path}");
    }
    assert_eq!(served.faults.calls(), 0, "nothing was looked at");
    let cookie = served.enter().await;
    let bearer = format!("Bearer {TOKEN}");
    for own in [("cookie", &*cookie), ("authorization", &*bearer)] {
        assert_eq!(served.send("GET", "/jobs/job-1", &[own], b"").await.status, 200, "{own:?}");
        assert_eq!(served.send("GET", "/api/queues", &[own], b"").await.status, 200, "{own:?}");
    }
    let wrong = ("authorization", "Bearer a-token-of-the-test");
    assert_eq!(served.send("GET", "/api/", &[wrong], b"").await.status, 403);
    let left = served.send("POST", "/leave", &[("cookie", &cookie)], b"").await;
    assert_eq!(left.status, 303);
    assert_eq!(served.send("GET", "/", &[("cookie", &cookie)], b"").await.status, 303, "left");
    served.stop().await;
}

#[tokio::test]
async fn other_sites_and_other_names_are_refused_with_the_cookie_too() {
    let served = Served::start(USUAL).await;
    served.failed_job("job-1").await;
    let cookie = served.enter().await;
    let own = ("cookie", &*cookie);
    for foreign in [
        ("host", "evil.example"),
        ("host", "127.0.0.1.nip.io"),
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("origin", "http://127.0.0.1:1"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "cross-site"),
    ] {
        for (method, path) in [
            ("GET", "/"),
            ("GET", "/api/jobs/job-1"),
            ("GET", "/events/"),
            ("GET", "/assets/console.js"),
            ("POST", "/enter"),
            ("POST", "/do/delete/job-1"),
            ("POST", "/api/do/cancel/job-1"),
        ] {
            let answer = served.send(method, path, &[own, foreign], b"").await;
            assert_eq!(answer.status, 403, "{method} {path} {foreign:?}");
        }
    }
    let missing = served.send("POST", "/do/delete/job-1", &[own, ("origin", "")], b"").await;
    assert_eq!(missing.status, 403, "a form says where it is from");
    let named = [own, ("host", "console.example"), ("origin", "https://console.example")];
    assert_eq!(served.send("GET", "/", &named, b"").await.status, 200, "a name that was told");
    let failed = served.ledger.latest_jobs(JobStatus::Failed, None, 9).await.unwrap();
    assert_eq!(failed.len(), 1, "nothing was done");
    served.stop().await;
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_not_repeated() {
    let served = Served::start(USUAL).await;
    let answer = served.send("POST", "/enter", &[], b"token=a-guess&name=eve").await;
    assert_eq!((answer.status, answer.header("set-cookie")), (403, None));
    assert!(
        answer.body.contains("not the token") && !answer.body.contains("a-guess"),
        "{answer:?}"
    );
    served.stop().await;
}

#[tokio::test]
async fn places_after_entering_are_of_this_server_alone() {
    let served = Served::start(USUAL).await;
    for next in ["https://evil.example/", "//evil.example", "/\\evil.example", "x", "/a%0d%0ab"] {
        let form = format!("token={TOKEN}&next={next}");
        let answer = served.send("POST", "/enter", &[], form.as_bytes()).await;
        assert_eq!((answer.status, answer.header("location")), (303, Some("/")), "{next}");
        let page = served.get(&format!("/enter?next={next}")).await;
        assert!(page.body.contains("name=\"next\" value=\"/\""), "{next}: {page:?}");
    }
    served.stop().await;
}

#[tokio::test]
async fn what_is_no_address_is_nothing_and_what_is_too_large_is_not_read() {
    let served = Served::start(USUAL).await;
    for path in [
        "/jobs/../../etc/passwd",
        "/jobs/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/jobs/%3Cscript%3E",
        "/jobs/nobody",
        "/jobs?status=lost",
        "/acts?before=x",
        "/api/jobs/..%2f",
        "/api/nowhere",
        "/events/nowhere",
        "/do/explode/job-1",
        "/do/delete/..%2f..",
        "/assets/..%2fconsole.js",
        "/no/such",
    ] {
        assert_eq!(served.get(path).await.status, 404, "{path}");
    }
    let cookie = served.enter().await;
    let large = vec![b'x'; 20 << 10];
    let answer = served.send("POST", "/do/redrive", &[("cookie", &cookie)], &large).await;
    assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
    let announced = ("content-length", "100000000000");
    let answer = served.send("POST", "/enter", &[announced], b"token=").await;
    assert_eq!(answer.status, 413, "it is not waited for");
    let unknown = br#"{"force":true,"harder":true}"#;
    let answer = served.send("POST", "/api/do/redrive", &[("cookie", &cookie)], unknown).await;
    assert!(answer.status == 422 && answer.body.contains("harder"), "{answer:?}");
    assert_eq!(served.send("PUT", "/", &[], b"").await.status, 405);
    served.stop().await;
}

#[tokio::test]
async fn who_is_slow_is_let_go() {
    let served = Served::start(USUAL).await;
    let mut slow = TcpStream::connect(&served.host).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: 127").await.unwrap();
    let mut rest = Vec::new();
    // Ends with the listener's time for a head.
    let _ = slow.read_to_end(&mut rest).await;
    assert_eq!(served.get("/").await.status, 200, "the others are served");
    served.stop().await;
}

#[tokio::test]
async fn every_answer_forbids_what_pages_do_not_need() {
    let served = Served::start(USUAL).await;
    for path in ["/", "/assets/console.js", "/assets/base.css", "/api/", "/no/such", "/enter"] {
        let answer = served.get(path).await;
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        // Without one a form of the console would come from nowhere, and be refused.
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"), "{path}");
        for inline in ["<script>", " style=", " onclick=", "http://", "https://"] {
            assert!(
                path.starts_with("/assets") || !answer.body.contains(inline),
                "{inline}: {path}"
            );
        }
    }
    served.stop().await;
}
