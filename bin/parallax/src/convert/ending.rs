//! How a conversion ends.

/// Exit code of a conversion that was interrupted, as shells count it.
pub(crate) const INTERRUPTED: u8 = 130;

/// How a conversion ended.
#[derive(Debug)]
pub(super) enum Ending {
    Completed,
    /// Why.
    Failed(String),
    Interrupted,
}
