//! Whether what is missing fits on the disk.

use std::path::Path;

use nix::sys::statvfs::statvfs;

use crate::error::Error;

/// Left free on top of the files: records, and the file system's own needs.
const RESERVE: u64 = 16 << 20;

/// # Errors
/// [`Error::NoRoom`] when `bytes` more do not fit in `dir`.
pub(crate) fn check(dir: &Path, bytes: u64) -> Result<(), Error> {
    if bytes == 0 {
        return Ok(());
    }
    let stat =
        statvfs(dir).map_err(|errno| Error::Io { path: dir.to_owned(), source: errno.into() })?;
    let free = stat.blocks_available().saturating_mul(stat.fragment_size());
    compare(dir, bytes, free)
}

fn compare(dir: &Path, bytes: u64, free: u64) -> Result<(), Error> {
    let needed = bytes.saturating_add(RESERVE);
    if needed <= free {
        return Ok(());
    }
    Err(Error::NoRoom { dir: dir.to_owned(), needed: shown(needed), free: shown(free) })
}

fn shown(bytes: u64) -> String {
    format!("{:.2} GB", bytes as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_counts() {
        let dir = Path::new("weights");
        assert!(compare(dir, 3_000_000_000, 3_000_000_000 + RESERVE).is_ok());
        let error = compare(dir, 3_000_000_000, 2_000_000_000).unwrap_err().to_string();
        assert_eq!(error, "weights: 3.02 GB are needed, 2.00 GB are free");
        assert!(check(Path::new("."), u64::MAX).is_err());
    }
}
