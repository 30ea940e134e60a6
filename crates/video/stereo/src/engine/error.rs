//! Why an engine stopped.

use super::finite::NotFinite;

/// Why an engine stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The run's token was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The clip or an option is outside what the engine can do; asking again will not help.
    #[error("{0}")]
    Unsupported(String),
    /// Something failed that may work another time (a device, a file).
    #[error("{0}")]
    Failed(String),
    /// The device had no room; with less beside it, it may.
    #[error("{0}")]
    OutOfMemory(String),
    /// What was computed are no numbers, in the widest type too: asking again gives the same.
    #[error("{what}; {advice}")]
    NotFinite {
        /// What was found, and where.
        what: NotFinite,
        /// What to do.
        advice: String,
    },
}
