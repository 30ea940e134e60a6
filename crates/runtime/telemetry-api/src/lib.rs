//! What code says of itself to operators: metrics, beats of its loops, readiness.
//!
//! Apart from `parallax-telemetry`, which shows all that to the outside, so that what only counts
//! and ticks links no exporter and no server.

pub mod health;
mod metrics;
mod table;

pub use metrics::{MetricsSink, NoMetrics};
pub use table::{Kind, Metric};
