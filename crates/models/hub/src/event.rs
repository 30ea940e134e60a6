//! What happens during a download, for whoever shows it.

use std::time::Duration;

use serde::Serialize;

/// One thing that happened. Sizes are in bytes; files are named `model folder/path`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Another process downloads into the same folder; this one waits for it.
    Waiting,
    /// What is to be done is known.
    Planned {
        /// Files to download.
        files: usize,
        /// Bytes to download.
        bytes: u64,
        /// Bytes of everything.
        total: u64,
    },
    /// A file's transfer begins.
    Started {
        /// The file.
        file: String,
        /// Bytes that an earlier transfer left.
        from: u64,
        /// Size.
        size: u64,
    },
    /// More of a file has come.
    Progress {
        /// The file.
        file: String,
        /// Bytes of it on disk.
        at: u64,
        /// Size.
        size: u64,
    },
    /// Something went wrong that may pass.
    Retrying {
        /// The file.
        file: String,
        /// What.
        why: String,
        /// Time until the next try.
        #[serde(rename = "after_seconds", serialize_with = "seconds")]
        after: Duration,
    },
    /// A file is whole, verified and has its name.
    Finished {
        /// The file.
        file: String,
        /// Size.
        size: u64,
    },
    /// A model's folder is complete.
    Complete {
        /// The repository.
        repository: String,
        /// The commit that the folder holds.
        commit: String,
    },
}

fn seconds<S: serde::Serializer>(after: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((after.as_secs_f64() * 1000.0).round() / 1000.0)
}
