//! The loops of the pipeline over its ports.
