//! One download into a folder at a time.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;

const NAME: &str = ".fetch.lock";
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// The right to write into the folder. The system takes it back when the process ends, however it
/// ends, so nothing stale is ever in the way; the file itself stays.
#[derive(Debug, Clone)]
pub(crate) struct Lock {
    _file: Arc<File>,
}

impl Lock {
    /// Waits until no other process has it; `wait` is called once if there is anything to wait for.
    pub(crate) async fn take(dir: &Path, wait: impl FnOnce()) -> Result<Self, Error> {
        let path = dir.join(NAME);
        let io = |source| Error::Io { path: path.clone(), source };
        let file = File::options().create(true).append(true).open(&path).map_err(io)?;
        let mut wait = Some(wait);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: Arc::new(file) }),
                Err(TryLockError::WouldBlock) => {
                    if let Some(wait) = wait.take() {
                        wait();
                    }
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Err(TryLockError::Error(source)) => return Err(io(source)),
            }
        }
    }
}
