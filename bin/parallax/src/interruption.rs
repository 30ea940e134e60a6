//! Ctrl-C, for commands that wait for nothing else.

use anyhow::Result;
use parallax_process::Termination;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

/// Exit code of a command that was interrupted, as shells count it.
pub(crate) const INTERRUPTED: u8 = 130;

/// Has the first signal cancel `stop`, and the second end the process, for as long as the runtime is there.
///
/// # Errors
/// When the system gives no threads or takes no handler.
pub(crate) fn cancels(stop: &CancellationToken) -> Result<Runtime> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let heard = runtime.block_on(async { Termination::listen() })?;
    let stop = stop.clone();
    runtime.spawn(async move {
        heard.once(i32::from(INTERRUPTED)).await;
        stop.cancel();
    });
    Ok(runtime)
}
