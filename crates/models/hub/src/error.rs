//! Why a download did not succeed.

use std::path::PathBuf;

/// What a caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Change a setting.
    Settings,
    /// Get access: a token, or the owner's consent.
    Access,
    /// Try again later.
    Network,
    /// A file is not what it was: do not use it before you know why.
    Changed,
    /// Make room.
    Room,
    /// Look into it.
    Other,
}

/// A failure. No text of it holds the token or the query of a signed address.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that cannot work.
    #[error("{0}")]
    Settings(String),
    /// The hub refused.
    #[error("{what}: the hub answered {status}{why}; {hint}")]
    Access {
        /// Repository and file.
        what: String,
        /// HTTP status.
        status: u16,
        /// The hub's reason, led by a colon, or nothing.
        why: String,
        /// What to do.
        hint: String,
    },
    /// No such repository, revision or file.
    #[error("{what}: not on the hub{why}")]
    NotFound {
        /// Repository, revision and files tried.
        what: String,
        /// The hub's reason, led by a colon, or nothing.
        why: String,
    },
    /// Another answer that trying again will not change.
    #[error("{what}: {why}")]
    Answer {
        /// Repository and file.
        what: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// The hub stayed out of reach.
    #[error("{what}: gave up after {tries} {} without progress; the last: {why}", if *.tries == 1 { "try" } else { "tries" })]
    Unreachable {
        /// Repository and file.
        what: String,
        /// How many.
        tries: u32,
        /// What went wrong the last time.
        why: String,
    },
    /// The bytes are not those announced, again and again.
    #[error("{what}: damaged in {tries} downloads: {found} instead of {expected}")]
    Corrupt {
        /// Repository and file.
        what: String,
        /// Digest that the hub announced.
        expected: String,
        /// Digest of what came the last time.
        found: String,
        /// How many.
        tries: u32,
    },
    /// A file is not the one that is pinned.
    #[error(
        "{what}: changed: {found} instead of {expected}; if that is wanted, name its --revision, or remove \
         it from weights.lock"
    )]
    Changed {
        /// Repository and file.
        what: String,
        /// What was pinned.
        expected: String,
        /// What there is.
        found: String,
    },
    /// Too little room for what is missing.
    #[error("{dir}: {needed} are needed, {free} are free")]
    NoRoom {
        /// Where it should go.
        dir: PathBuf,
        /// How much is missing, with a reserve.
        needed: String,
        /// How much is free.
        free: String,
    },
    /// Offline, and not everything is there.
    #[error("offline (HF_HUB_OFFLINE is set), and these are missing: {}", .missing.join(", "))]
    Offline {
        /// Files.
        missing: Vec<String>,
    },
    /// The disk.
    #[error("{path}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Settings(_) => Kind::Settings,
            Self::Access { .. } | Self::NotFound { .. } => Kind::Access,
            Self::Unreachable { .. } | Self::Corrupt { .. } | Self::Offline { .. } => Kind::Network,
            Self::Changed { .. } => Kind::Changed,
            Self::NoRoom { .. } => Kind::Room,
            Self::Io { source, .. } if out_of_room(source) => Kind::Room,
            Self::Answer { .. } | Self::Io { .. } => Kind::Other,
        }
    }
}

fn out_of_room(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as E;
    matches!(error.kind(), E::StorageFull | E::QuotaExceeded | E::FileTooLarge)
}
