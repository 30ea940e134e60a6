//! Looking at activations on their way, for tests and measurements.

use candle_core::{Result, Tensor};

/// Called with a module's name in the checkpoint and its output.
pub type Tap<'a> = dyn FnMut(&str, &Tensor) -> Result<()> + 'a;

/// A [`Tap`] that does nothing.
pub fn ignore(_name: &str, _output: &Tensor) -> Result<()> {
    Ok(())
}
