//! Numbers in memory, rendered as Prometheus text.
//!
//! The recorder is this value and not the process's global one, so that tests and embedders keep
//! theirs.

use std::fmt;

use metrics::{Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use parallax_telemetry_api::MetricsSink;

/// From a millisecond's call to the longest invocation that the contract allows.
const SECONDS: [f64; 16] = [
    0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0,
    3600.0,
];
/// From a request's body to a film.
const BYTES: [f64; 8] = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10];
/// Anything else that is observed is a small count or a ratio.
const OTHER: [f64; 12] = [0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1000.0, 10_000.0];

/// Keeps numbers for whoever scrapes them.
pub struct PrometheusMetrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl PrometheusMetrics {
    /// An empty set of numbers. Distributions are histograms; their buckets follow the unit at
    /// the end of the name, `_seconds` or `_bytes`.
    ///
    /// # Errors
    /// None with the buckets of this crate.
    pub fn new() -> Result<Self, BuildError> {
        let recorder = PrometheusBuilder::new()
            .set_buckets(&OTHER)?
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
            .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &BYTES)?
            .build_recorder();
        let handle = recorder.handle();
        Ok(Self { recorder, handle })
    }

    /// Every number as Prometheus text, version 0.0.4.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds observations into their histograms. Rendering does it too; where nobody scrapes,
    /// something has to, or they pile up.
    pub fn fold(&self) {
        self.handle.run_upkeep();
    }
}

impl fmt::Debug for PrometheusMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrometheusMetrics").finish_non_exhaustive()
    }
}

const METADATA: Metadata<'static> = Metadata::new("parallax", Level::INFO, None);

fn key(name: &'static str, labels: &[(&'static str, &'static str)]) -> Key {
    let labels: Vec<Label> =
        labels.iter().map(|(name, value)| Label::from_static_parts(name, value)).collect();
    Key::from_parts(name, labels)
}

impl MetricsSink for PrometheusMetrics {
    fn count(&self, name: &'static str, labels: &[(&'static str, &'static str)], by: u64) {
        self.recorder.register_counter(&key(name, labels), &METADATA).increment(by);
    }

    fn gauge(&self, name: &'static str, labels: &[(&'static str, &'static str)], value: f64) {
        self.recorder.register_gauge(&key(name, labels), &METADATA).set(value);
    }

    fn observe(&self, name: &'static str, labels: &[(&'static str, &'static str)], value: f64) {
        self.recorder.register_histogram(&key(name, labels), &METADATA).record(value);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_is_counted_set_and_observed_is_rendered() {
        let metrics = PrometheusMetrics::new().unwrap();
        metrics.count("parallax_messages_total", &[("queue", "work"), ("outcome", "done")], 2);
        metrics.count("parallax_messages_total", &[("queue", "work"), ("outcome", "done")], 3);
        metrics.count("parallax_messages_total", &[("queue", "work"), ("outcome", "poison")], 1);
        metrics.gauge("parallax_in_flight_segments", &[], 4.0);
        metrics.gauge("parallax_in_flight_segments", &[], 2.5);
        metrics.observe("parallax_backend_seconds", &[("outcome", "ok")], 45.0);
        metrics.observe("parallax_backend_seconds", &[("outcome", "ok")], 0.2);
        metrics.observe("parallax_segment_bytes", &[], 2e6);
        metrics.fold();
        let text = metrics.render();
        for line in [
            "# TYPE parallax_messages_total counter",
            "parallax_messages_total{queue=\"work\",outcome=\"done\"} 5",
            "parallax_messages_total{queue=\"work\",outcome=\"poison\"} 1",
            "parallax_in_flight_segments 2.5",
            "# TYPE parallax_backend_seconds histogram",
            "parallax_backend_seconds_bucket{outcome=\"ok\",le=\"0.25\"} 1",
            "parallax_backend_seconds_bucket{outcome=\"ok\",le=\"60\"} 2",
            "parallax_backend_seconds_bucket{outcome=\"ok\",le=\"+Inf\"} 2",
            "parallax_backend_seconds_count{outcome=\"ok\"} 2",
            "parallax_segment_bytes_bucket{le=\"10000000\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        let again = metrics.render();
        let sorted = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        assert_eq!(sorted(&again), sorted(&text), "scraping changes nothing");
        let other = PrometheusMetrics::new().unwrap();
        assert_eq!(other.render(), "", "nothing is shared");
    }
}
