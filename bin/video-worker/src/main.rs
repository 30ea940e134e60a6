//! The queue daemon of the pipeline.
fn main() {}
