//! What stands in the way, as a session says it.

use parallax_engine_spec::Refused;
use parallax_stereo::Error;

/// A choice that is out of range, as an error of a session.
pub(crate) fn unsupported(checked: Result<(), Refused>) -> Result<(), Error> {
    checked.map_err(|refused| Error::Unsupported(refused.to_string()))
}

/// The engine's error for one of the tensor library.
pub(crate) fn failed(error: candle_core::Error) -> Error {
    let text = format!("{error:?}").to_ascii_lowercase();
    if text.contains("out of memory") || text.contains("out_of_memory") {
        return Error::OutOfMemory(format!(
            "the device has too little memory: {error}; a smaller --depth-size takes less of it"
        ));
    }
    Error::Failed(error.to_string())
}
