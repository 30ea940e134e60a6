//! Inference backends that need no cloud SDK.
