//! What the filesystem's and SQLite's errors mean to a caller.

use std::error::Error as _;
use std::io;
use std::path::Path;

use parallax_ports::{Error, Kind};
use rusqlite::ErrorCode;

/// Whether the cause of `error` is a full disk, quota or file size limit. Such errors are of kind
/// `Unavailable` and name the path; nothing was changed.
pub fn is_disk_full(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return full(error.kind());
        }
        if let Some(Cause(error)) = error.downcast_ref() {
            return error.sqlite_error_code() == Some(ErrorCode::DiskFull);
        }
        cause = error.source();
    }
    false
}

fn full(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(kind, StorageFull | QuotaExceeded | FileTooLarge)
}

pub(crate) fn io(what: &str, path: &Path, error: io::Error) -> Error {
    use io::ErrorKind::{
        DirectoryNotEmpty, InvalidFilename, IsADirectory, NotADirectory, NotFound,
        PermissionDenied, ReadOnlyFilesystem,
    };
    let kind = match error.kind() {
        kind if full(kind) => Kind::Unavailable,
        NotFound => Kind::NotFound,
        PermissionDenied | ReadOnlyFilesystem => Kind::Unauthorized,
        InvalidFilename | IsADirectory | NotADirectory | DirectoryNotEmpty => Kind::Rejected,
        _ => Kind::Internal,
    };
    Error::new(kind, format!("{what} {}", path.display())).with_source(error)
}

pub(crate) fn sqlite(path: &Path, error: rusqlite::Error) -> Error {
    let kind = match error.sqlite_error_code() {
        // Another process wrote for longer than the busy timeout, or the disk is full: the
        // transaction was rolled back.
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull) => {
            Kind::Unavailable
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Kind::Rejected,
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            Kind::Unauthorized
        }
        _ => Kind::Internal,
    };
    let what = match kind {
        Kind::Rejected => "is damaged or not a database; restore it from a copy or remove it",
        _ => "could not be read or written",
    };
    Error::new(kind, format!("database {} {what}", path.display())).with_source(Cause(error))
}

/// SQLite's own source says the same once more in other words.
#[derive(Debug)]
struct Cause(rusqlite::Error);

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Cause {}
