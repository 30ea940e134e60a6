//! Logs, metrics and health endpoints: what an operator sees of a process.

mod health;
pub mod logs;
mod metrics;

pub use health::HealthServer;
pub use metrics::PrometheusMetrics;
pub use parallax_listener::HostName;
