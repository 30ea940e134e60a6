//! What is known of an engine without its weights.

use std::fmt::Debug;

use super::error::Error;
use super::run::{Reach, Run};

/// The cheap half of an [`Engine`](crate::Engine): known from its options alone, so that requests can be
/// answered while weights are still on their way.
pub trait Capabilities: Debug + Send + Sync {
    /// What a clip's pairs depend on besides the clip in such a run. Defaults to nothing.
    ///
    /// Whatever an engine remembers within a shot must have faded where this ends.
    fn reach(&self, _run: &Run) -> Reach {
        Reach::default()
    }

    /// Refuses what [`Engine::start`](crate::Engine::start) would refuse of a run, whatever the clip.
    /// Defaults to refusing nothing.
    ///
    /// # Errors
    /// `Unsupported`, saying why.
    fn check(&self, _run: &Run) -> Result<(), Error> {
        Ok(())
    }
}
