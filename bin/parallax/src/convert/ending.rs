//! How a conversion ends.

/// How a conversion ended.
#[derive(Debug)]
pub(super) enum Ending {
    Completed,
    /// Why.
    Failed(String),
    Interrupted,
}
