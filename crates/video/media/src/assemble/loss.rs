//! What the final file does not have.

/// Something of the source that does not reach the final file, other than a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// What it is.
    pub what: String,
    /// Why.
    pub reason: String,
}
