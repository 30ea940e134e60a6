//! Two views.

use parallax_frame::Frame;

/// Two views of one moment. Both have the clip's format and the source frame's time.
#[derive(Debug, Clone)]
pub struct StereoPair {
    /// The left eye: the source frame itself, sample for sample, unless the engine says otherwise.
    pub left: Frame,
    /// The right eye.
    pub right: Frame,
}
