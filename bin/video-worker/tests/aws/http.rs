//! The backend `http` where its servers do less than they promise.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::cloud::{Cloud, Daemon, until};

/// Accepts everything and does nothing; its address, and how often it was asked.
fn start_forgetful() -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut some = [0; 8192];
            if stream.read(&mut some).is_ok_and(|n| n > 0) {
                count.fetch_add(1, Ordering::Relaxed);
                let answer =
                    b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(answer);
            }
        }
    });
    (url, asked)
}

#[test]
fn an_accepted_segment_of_which_nothing_is_heard_is_attempted_again() {
    let cloud = Cloud::start();
    cloud.job_in("job-h", "chunking_complete", 1);
    cloud.upload_segment("job-h", 0, 1);
    let (url, asked) = start_forgetful();
    let variables = [
        ("INFERENCE_BACKEND", "http"),
        ("INFERENCE_HTTP_URL", url.as_str()),
        ("INFERENCE_HTTP_ACCEPTED_SECONDS", "1"),
        ("LEASE_SECONDS", "5"),
        ("PACE", "quick"),
    ];
    let daemon = Daemon::start(&cloud, &variables);
    until("another attempt", || asked.load(Ordering::Relaxed) >= 2);
    let (good, log) = daemon.stop("TERM");
    assert!(good, "{log}");
    assert!(log.contains("no outcome before the deadline"), "{log}");
}

const CANARY: &str = "canary-1c0f";

/// Lets nobody in, and repeats what it was told; its address, and how often it was asked.
fn start_careless() -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut some = [0; 8192];
            let Ok(read @ 1..) = stream.read(&mut some) else { continue };
            let told = String::from_utf8_lossy(&some[..read]).into_owned();
            // It is no proof of anything if nobody brings the secret along.
            if told.contains(CANARY) {
                count.fetch_add(1, Ordering::Relaxed);
            }
            let head = format!("HTTP/1.1 401 No\r\ncontent-length: {}", told.len());
            let _ = write!(stream, "{head}\r\nconnection: close\r\n\r\n{told}");
        }
    });
    (url, asked)
}

#[test]
fn no_secret_is_in_any_line_of_the_log_whatever_is_listened_to() {
    let cloud = Cloud::start();
    cloud.job_in("job-c", "chunking_complete", 1);
    cloud.upload_segment("job-c", 0, 1);
    let (url, asked) = start_careless();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{CANARY}\n")).unwrap();
    let file = file.path().to_str().unwrap().to_owned();
    let secrets = [
        ("LOG_FILTER", "trace,hyper=trace,aws_smithy_runtime::client=trace,[{job_id}]=trace"),
        ("AWS_ACCESS_KEY_ID", CANARY),
        ("AWS_SECRET_ACCESS_KEY", CANARY),
        ("AWS_SESSION_TOKEN", CANARY),
        ("INFERENCE_BACKEND", "http"),
        ("INFERENCE_HTTP_URL", url.as_str()),
        ("PACE", "quick"),
    ];
    let by_file = [&secrets[..], &[("INFERENCE_HTTP_TOKEN_FILE", file.as_str())]].concat();
    let daemon = Daemon::start(&cloud, &by_file);
    until("the refusal", || asked.load(Ordering::Relaxed) >= 1);
    let numbers = daemon.get("/metrics");
    let (good, log) = daemon.stop("TERM");
    assert!(good, "{log}");
    assert!(log.contains("\"DEBUG\"") && log.contains("answered 401"), "{log}");
    let said = format!("{log}{numbers}");
    assert_eq!(said.lines().find(|line| line.contains(CANARY)), None);

    for (more, named) in [
        (&[("INFERENCE_HTTP_URL", "https://me:canary-1c0f@gpu.example")][..], "INFERENCE_HTTP_URL"),
        (&[("INFERENCE_HTTP_TOKEN", CANARY)], "INFERENCE_HTTP_TOKEN and INFERENCE_HTTP_TOKEN_FILE"),
        (
            &[("INFERENCE_HTTP_TOKEN_FILE", "/nowhere")],
            "INFERENCE_HTTP_TOKEN_FILE /nowhere: No such",
        ),
        (&[("AWS_ENDPOINT_URL", "http://me:canary-1c0f@127.0.0.1:1")], "look at bucket in-bucket"),
    ] {
        let mut environment = cloud.environment();
        let all = by_file.iter().chain(more).copied();
        environment.extend(all.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let done = cloud.command(&environment, &["--check-config"]).output().unwrap();
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
        assert!(!done.status.success() && said.contains(named), "{named}: {said}");
        assert_eq!(said.lines().find(|line| line.contains(CANARY)), None, "{named}");
    }
}
