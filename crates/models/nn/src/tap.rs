//! Looking at activations on their way, for tests and measurements.

use candle_core::{Result, Tensor};

/// Called with a module's name in the checkpoint and its output.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use parallax_nn::{Tap, ignore};
///
/// /// A network of one stage.
/// fn network(x: &Tensor, tap: &mut Tap<'_>) -> candle_core::Result<Tensor> {
///     let y = (x * 2.0)?;
///     tap("doubled", &y)?;
///     Ok(y)
/// }
///
/// let x = Tensor::new(&[1f32], &Device::Cpu)?;
/// let mut seen = Vec::new();
/// network(&x, &mut |name, y| {
///     seen.push((name.to_owned(), y.to_vec1::<f32>()?));
///     Ok(())
/// })?;
/// assert_eq!(seen, [("doubled".to_owned(), vec![2.0])]);
/// network(&x, &mut ignore)?;
/// # Ok::<(), candle_core::Error>(())
/// ```
pub type Tap<'a> = dyn FnMut(&str, &Tensor) -> Result<()> + 'a;

/// A [`Tap`] that does nothing.
pub fn ignore(_name: &str, _output: &Tensor) -> Result<()> {
    Ok(())
}
