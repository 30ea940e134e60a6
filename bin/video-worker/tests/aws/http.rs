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
