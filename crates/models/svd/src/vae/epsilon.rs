//! Epsilons of the group norms.

/// Group norm epsilon everywhere but in the decoder's temporal blocks.
pub(super) const EPS: f64 = 1e-6;
/// Group norm epsilon of the decoder's temporal blocks.
pub(super) const TEMPORAL_EPS: f64 = 1e-5;
