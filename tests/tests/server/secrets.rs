//! Tokens that change while a server runs, and the names by which an open one is asked.

use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use parallax_tests::{Server, finish, program};

const OLD: &str = "canary-old-0123456789";
const NEW: &str = "canary-new-0123456789";
const ASK: &str = "{\"operation\": \"health\"}";

/// Replaces the file as a secret manager does.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, file).unwrap();
}

/// Has the server read its secrets again, and waits until its log has `words` once more.
fn hang_up(server: &Server, words: &str) {
    let told = |log: &str| log.matches(words).count();
    let before = told(&server.process.said().1);
    server.process.signal(Signal::SIGHUP);
    while told(&server.process.said().1) == before {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The status for whoever has `token`.
fn status(server: &Server, token: &str) -> u16 {
    server.post("/invocations", &[&format!("authorization: Bearer {token}")], ASK).status
}

#[test]
fn a_token_is_changed_without_a_restart_and_no_request_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    std::fs::write(&file, format!("{OLD}\n")).unwrap();
    let variables = [("SERVER_PROFILE", "http"), ("SERVER_TOKENS_FILE", file.to_str().unwrap())];
    let server = Server::start(folder.path(), &variables);
    assert_eq!((status(&server, OLD), status(&server, NEW)), (200, 401));
    // A request that was let in and is not told to the end.
    let mut begun = server.connect();
    let length = ASK.len();
    let head = format!(
        "POST /invocations HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {OLD}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\
         expect: 100-continue\r\n\r\n"
    );
    begun.write_all(head.as_bytes()).unwrap();
    let mut go_on = [0; 12];
    begun.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100", "it is let in and its body is read");

    replace(&file, &format!("{OLD},{NEW}\n"));
    hang_up(&server, "the secret was read again");
    assert_eq!((status(&server, OLD), status(&server, NEW)), (200, 200));
    replace(&file, &format!("\n{NEW}\n\n"));
    hang_up(&server, "the secret was read again");
    assert_eq!((status(&server, OLD), status(&server, NEW)), (401, 200));

    begun.write_all(ASK.as_bytes()).unwrap();
    let mut answer = String::new();
    begun.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("HTTP/1.1 200 OK"), "{answer}");

    for broken in ["", "short", "canary-ok-0123456789,,canary-ok-0123456789"] {
        replace(&file, broken);
        hang_up(&server, "the old one stays");
        assert_eq!((status(&server, OLD), status(&server, NEW)), (401, 200), "{broken:?}");
    }
    std::fs::remove_file(&file).unwrap();
    hang_up(&server, "the old one stays");
    assert_eq!((status(&server, ""), status(&server, NEW)), (401, 200));
    let (_, log) = server.process.said();
    let named = format!("SERVER_TOKENS_FILE {}: ", file.display());
    assert!(log.contains(&named) && log.contains("\"changed\":true"), "{log}");
    assert!(!log.contains("canary"), "{log}");
}

#[test]
fn whoever_has_no_file_to_read_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[("SERVER_TOKENS", OLD)]);
    hang_up(&server, "no secret that comes from a file");
    assert_eq!((status(&server, OLD), status(&server, NEW)), (200, 401));
}

#[test]
fn a_secret_file_that_cannot_be_used_ends_the_start_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("empty");
    std::fs::write(&file, "\n").unwrap();
    let file = file.to_str().unwrap();
    for (variables, named) in [
        (&[("SERVER_TOKENS_FILE", "/nowhere")][..], "SERVER_TOKENS_FILE /nowhere: No such file"),
        (&[("SERVER_TOKENS_FILE", file)], "/empty: it is empty"),
        (
            &[("SERVER_TOKENS_FILE", file), ("SERVER_TOKENS", OLD)],
            "SERVER_TOKENS and SERVER_TOKENS_FILE are both set",
        ),
        (
            &[("GCS_SECRET_ACCESS_KEY_FILE", "/nowhere"), ("GCS_ACCESS_KEY_ID", OLD)],
            "GCS_SECRET_ACCESS_KEY_FILE /nowhere: No such file",
        ),
        (
            &[("SERVER_PROFILE", "runpod"), ("RUNPOD_AI_API_KEY_FILE", file)],
            "RUNPOD_AI_API_KEY_FILE",
        ),
    ] {
        let mut command = program("inference-server");
        command.env("SERVER_ENGINE", "copy").env("SERVER_SCRATCH", folder.path());
        command.env("SERVER_ADDRESS", "127.0.0.1:0").env("HEALTH_ADDRESS", "127.0.0.1:0");
        let finished = finish(command.envs(variables.iter().copied()).arg("--check-config"));
        assert_ne!(finished.code, Some(0), "{named}");
        let last = finished.stderr.lines().last().unwrap_or_default();
        assert!(last.contains(named) && !finished.stderr.contains("canary"), "{named}: {last}");
    }
}

#[test]
fn an_open_server_on_loopback_answers_to_its_own_names_only() {
    let folder = tempfile::tempdir().unwrap();
    let ask = |server: &Server, host: &str| {
        let head =
            |page| format!("GET {page} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let health = parallax_tests::tell(&server.health, head("/metrics").as_bytes());
        (server.send(head("/openapi.json").as_bytes()).status, health.status)
    };
    let own = ["localhost", "127.0.0.1", "[::1]:80", "films.localhost:8080"];
    for profile in ["http", "runpod", "sagemaker"] {
        let variables = [
            ("SERVER_PROFILE", profile),
            ("SERVER_HOSTS", "gpu.example"),
            ("HEALTH_HOSTS", "numbers.example"),
        ];
        let server = Server::start(folder.path(), &variables);
        let found = if profile == "http" { 200 } else { 404 };
        for host in own {
            assert_eq!(ask(&server, host), (found, 200), "{profile} {host}");
        }
        assert_eq!(ask(&server, "gpu.example:8080"), (found, 421), "{profile}");
        assert_eq!(ask(&server, "numbers.example"), (421, 200), "{profile}");
        for host in ["evil.example", "127.0.0.1.evil.example:8080", "localhost.evil.example", ""] {
            assert_eq!(ask(&server, host), (421, 421), "{profile} {host}");
        }
        let other = b"GET http://evil.example/ping HTTP/1.1\r\nhost: localhost\r\n\
                      connection: close\r\n\r\n";
        assert_eq!(server.send(other).status, 421, "{profile}");
        let two = b"GET /ping HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\
                    connection: close\r\n\r\n";
        assert!([400, 421].contains(&server.send(two).status), "{profile}");
        let none = b"GET /ping HTTP/1.1\r\nconnection: close\r\n\r\n";
        assert!([400, 421].contains(&server.send(none).status), "{profile}");
    }
    // Who has a token is no page, and a server behind a name has one.
    let server = Server::start(folder.path(), &[("SERVER_TOKENS", OLD)]);
    let head = "GET /ping HTTP/1.1\r\nhost: gpu.example\r\nconnection: close\r\n\r\n";
    assert_eq!(server.send(head.as_bytes()).status, 200);
}

#[test]
fn a_server_that_the_platform_closes_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let told = |variables: &[(&str, &str)]| {
        let server = Server::start(folder.path(), variables);
        let head = "GET /ping HTTP/1.1\r\nhost: any.example\r\nconnection: close\r\n\r\n";
        let status = server.send(head.as_bytes()).status;
        let (_, log) = server.process.said();
        let line = log.lines().find(|line| line.contains("is let in without a token"));
        (line.map(str::to_owned), status)
    };
    let everywhere = ("SERVER_ADDRESS", "0.0.0.0:0");
    let (line, status) = told(&[everywhere]);
    let line = line.expect("it is said");
    assert!(line.contains("\"WARN\"") && line.contains("bucket: None"), "{line}");
    assert_eq!(status, 200, "the platform may call it what it likes");
    assert_eq!(told(&[everywhere, ("SERVER_TOKENS", OLD)]), (None, 200));
    assert_eq!(told(&[]), (None, 421));
}
