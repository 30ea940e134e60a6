//! One segment or one whole file: decode, engine, encode.
