//! What an error of the tensor library means to whoever runs the engine.

use candle_core::Error as TensorError;
use parallax_stereo::Error;
use tokio_util::sync::CancellationToken;

/// Whether a device had no room: the tensor library has no error of its own for it, so that what drivers
/// say is looked at, here and nowhere else.
pub(crate) fn out_of_memory(error: &TensorError) -> bool {
    let text = format!("{error:?}").to_ascii_lowercase();
    text.contains("out of memory") || text.contains("out_of_memory")
}

/// The engine's error for `error`; a cancelled token explains any.
pub(crate) fn told(error: &TensorError, cancel: &CancellationToken) -> Error {
    if cancel.is_cancelled() {
        return Error::Cancelled;
    }
    if out_of_memory(error) {
        return Error::OutOfMemory(format!(
            "the device has too little memory: {error}; a smaller memory plan (--memory-plan, \
             SERVER_MEMORY_PLAN) takes less of it, and gives other pixels"
        ));
    }
    Error::Failed(error.to_string())
}

/// Stops work between its steps.
pub(crate) fn unless_cancelled(cancel: &CancellationToken) -> candle_core::Result<()> {
    if cancel.is_cancelled() { candle_core::bail!("cancelled") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drivers_say_is_understood() {
        let token = CancellationToken::new();
        for text in ["DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")", "Out of memory"] {
            let error = TensorError::Msg(text.into());
            assert!(out_of_memory(&error), "{text}");
            let told = told(&error, &token);
            assert!(matches!(told, Error::OutOfMemory(_)), "{told}");
            assert!(told.to_string().contains("too little memory"));
        }
        let other = TensorError::Msg("shape mismatch".into());
        assert!(!out_of_memory(&other));
        token.cancel();
        assert!(matches!(told(&other, &token), Error::Cancelled));
    }
}
