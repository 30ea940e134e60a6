//! What a job, segment, key, event and completion are.
