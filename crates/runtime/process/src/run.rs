//! How a program's work is run, and what its exit code says of it.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

/// Work that was told to stop has had its time; what is left of it is dropped after this.
const LEFT_OVER: Duration = Duration::from_secs(2);

/// Runs `work` on a runtime with as many threads as there are cores.
///
/// # Errors
/// As `work` says; when the system gives no threads.
pub fn run<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| anyhow::anyhow!("start the runtime: {error}"))?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(LEFT_OVER);
    done
}

/// Success, or failure and why: in the log of a `daemon`, which machines read, or where there is none and
/// in other programs on the terminal.
pub fn end(done: anyhow::Result<()>, daemon: Option<&str>) -> ExitCode {
    let Err(error) = done else { return ExitCode::SUCCESS };
    match daemon.filter(|_| tracing::enabled!(tracing::Level::ERROR)) {
        Some(program) => tracing::error!(error = format!("{error:#}"), "{program} ends"),
        None => eprintln!("error: {error:#}"),
    }
    ExitCode::FAILURE
}
