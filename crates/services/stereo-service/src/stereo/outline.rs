//! What is known of an engine before it is loaded.

use std::fmt::Debug;
use std::sync::Arc;

use parallax_stereo::{Engine, Error, Reach, Run};

/// What requests need to know of an engine, whose weights may still be on their way.
pub trait Outline: Debug + Send + Sync {
    /// How far it looks around a clip: [`Engine::reach`].
    fn reach(&self, run: &Run) -> Reach;

    /// Refuses what [`Engine::start`] would refuse of a run, whatever the clip.
    ///
    /// # Errors
    /// `Unsupported`, saying why.
    fn check(&self, run: &Run) -> Result<(), Error>;
}

/// The outline of an engine that is there and takes every run.
#[derive(Debug, Clone)]
pub struct EveryRun(pub Arc<dyn Engine>);

impl Outline for EveryRun {
    fn reach(&self, run: &Run) -> Reach {
        self.0.reach(run)
    }

    fn check(&self, _run: &Run) -> Result<(), Error> {
        Ok(())
    }
}
