//! Why a job is not taken.

/// Why a job is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// As many wait as may.
    Queue,
    /// There is no memory for it.
    Memory,
    /// The server ends.
    Shutdown,
}
