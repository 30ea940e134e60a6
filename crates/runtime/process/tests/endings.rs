//! Signals and endings, seen from outside.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use parallax_process::Termination;

/// Not a test by itself: waits to be asked to stop, and then to be ended.
#[test]
#[ignore = "run by the other tests in a process of its own"]
fn probe() {
    let done = parallax_process::run(async {
        let termination = Termination::listen()?;
        say("ready");
        termination.once(42).await;
        say("asked");
        std::future::pending::<anyhow::Result<()>>().await
    });
    drop(done);
}

/// Past the test harness, which holds back what tests print.
fn say(word: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{word}").unwrap();
    out.flush().unwrap();
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn the_first_signal_asks_and_the_second_ends() {
    for (first, second) in [("-TERM", "-TERM"), ("-INT", "-TERM"), ("-TERM", "-INT")] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "probe", "--ignored", "--nocapture"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|l| l.unwrap());
        assert!(lines.any(|line| line == "ready"));
        signal(&child, first);
        assert!(lines.any(|line| line == "asked"), "{first} did not ask");
        signal(&child, second);
        assert_eq!(child.wait().unwrap().code(), Some(42), "{first} {second}");
    }
}
