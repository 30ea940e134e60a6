//! Running a program on bytes in memory.

use std::io::{Read, Write};
use std::process::Command;

use tokio_util::sync::CancellationToken;

use crate::child::{Child, Ended, Patience};
use crate::error::Result;

/// Runs to the end with `input` on its standard input, and returns at most `limit_bytes` of standard output.
pub(super) fn fed(
    command: &mut Command,
    input: &[u8],
    cancel: &CancellationToken,
    patience: impl Into<Patience>,
    limit_bytes: u64,
) -> Result<(Vec<u8>, Ended)> {
    let mut child = Child::spawn(command, cancel, patience, |_| false)?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let mut made = Vec::new();
    std::thread::scope(|scope| {
        // Who takes no more of it has a reason, which the end tells.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
        if let Some(stdout) = stdout {
            // A failed read shows as a failed child or as unreadable output.
            let _ = stdout.take(limit_bytes).read_to_end(&mut made);
        }
    });
    Ok((made, child.wait()?))
}
