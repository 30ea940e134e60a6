//! The platform's own client against the development API.
//!
//! Needs `python3` with the `runpod` package; where there is none, the test is listed as ignored.

// Helpers fail like the tests that call them.
#![allow(clippy::unwrap_used, dead_code)]

#[path = "../protocol/mock.rs"]
mod mock;
#[path = "../protocol/platform.rs"]
mod platform;

use std::process::{Command, ExitCode};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use parallax_runpod::dev::{Limits, router};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use mock::Mock;
use platform::Platform;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let missing = !importable();
    if missing {
        eprintln!("ignored: python3 finds no package runpod");
    }
    let name = "the_platforms_client_completes_every_call";
    let trial = Trial::test(name, client_completes_every_call).with_ignored_flag(missing);
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}

fn importable() -> bool {
    // Looking for it is quick; importing it takes seconds.
    let look = "import importlib.util, sys; sys.exit(importlib.util.find_spec('runpod') is None)";
    let python = Command::new("python3").args(["-c", look]).output();
    python.is_ok_and(|output| output.status.success())
}

fn client_completes_every_call() -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let got = runtime.block_on(call())?;
    let jobs = json!({"completed": 3, "failed": 1, "inProgress": 1, "inQueue": 0, "retried": 0});
    let expected = json!({
        "run": {"output": {"k": 1}, "status": "COMPLETED"},
        "runsync": {"k": 2},
        "stream": [1, "two", {"k": 3}],
        "failed": [null, "FAILED"],
        "progress": {
            "first": "IN_PROGRESS",
            "health": {"jobs": jobs, "workers": {"idle": 0, "running": 1, "throttled": 0}},
            "purged": {"removed": 1, "status": "completed"},
            "waiting": "CANCELLED",
            "cancelled": "CANCELLED",
            "status": "CANCELLED",
        },
        "asyncio": {
            "stream": [1, {"k": 2}],
            "status": "COMPLETED",
            "output": "done",
            "cancelled": "CANCELLED",
            "health": ["jobs", "workers"],
        },
    });
    if got == expected {
        Ok(())
    } else {
        Err(format!("expected {expected}\ngot      {got}").into())
    }
}

async fn call() -> Result<Value, Failed> {
    let limits = Limits { stop_grace: Duration::from_millis(100), ..Limits::default() };
    let handler = Mock::new(&Platform::start(json!({})));
    let routes = router(handler, limits, CancellationToken::new());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}/v2", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client/client.py");
    let client = tokio::process::Command::new("python3").arg(script).arg(base).output().await?;
    if !client.status.success() {
        return Err(String::from_utf8_lossy(&client.stderr).into_owned().into());
    }
    Ok(serde_json::from_slice(&client.stdout)?)
}
