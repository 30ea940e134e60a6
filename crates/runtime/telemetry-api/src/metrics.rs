//! Numbers for operators.

use std::fmt::Debug;

/// Where numbers go. Calls are cheap, never block and never fail.
///
/// Names are `parallax_<noun>_<unit>` with `_total` for counters; label values come from small
/// closed sets.
pub trait MetricsSink: Debug + Send + Sync {
    /// Adds to a counter.
    fn count(&self, name: &'static str, labels: &[(&'static str, &'static str)], by: u64);
    /// Sets a gauge.
    fn gauge(&self, name: &'static str, labels: &[(&'static str, &'static str)], value: f64);
    /// Adds one observation to a distribution, in the name's unit.
    fn observe(&self, name: &'static str, labels: &[(&'static str, &'static str)], value: f64);
    /// A segment of `bytes`, 0 where that is not known, took `duration` from its intent to its
    /// completion. For whoever keeps statistics of conversions beside the numbers.
    fn converted(&self, _duration: std::time::Duration, _bytes: u64) {}
    /// Whether somebody keeps those, so that learning a size is worth a call.
    fn keeps_conversions(&self) -> bool {
        false
    }
}

/// Drops every number.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMetrics;

impl MetricsSink for NoMetrics {
    fn count(&self, _: &'static str, _: &[(&'static str, &'static str)], _: u64) {}
    fn gauge(&self, _: &'static str, _: &[(&'static str, &'static str)], _: f64) {}
    fn observe(&self, _: &'static str, _: &[(&'static str, &'static str)], _: f64) {}
}
