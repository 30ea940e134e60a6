//! Durations of conversions, for whoever watches them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parallax_aws::{Aws, ConversionMetrics};
use parallax_ports::MetricsSink;
use parallax_stereo_service::ConversionSink;

use crate::config::{MetricsProvider, Settings};
use crate::metrics;

/// Counts in `/metrics`, and in CloudWatch where that is asked for.
#[derive(Debug)]
pub(crate) struct Conversions {
    metrics: Arc<dyn MetricsSink>,
    cloudwatch: Option<ConversionMetrics>,
}

impl Conversions {
    pub(crate) fn new(settings: &Settings, aws: &Aws, metrics: Arc<dyn MetricsSink>) -> Self {
        let cloudwatch = match settings.metrics_provider {
            MetricsProvider::Cloudwatch => {
                Some(ConversionMetrics::new(aws.cloudwatch(), &settings.metrics_namespace))
            }
            MetricsProvider::None | MetricsProvider::Prometheus => None,
        };
        Self { metrics, cloudwatch }
    }
}

#[async_trait]
impl ConversionSink for Conversions {
    async fn converted(&self, duration: Duration, bytes: u64) {
        let seconds = duration.as_secs_f64();
        self.metrics.observe(metrics::CONVERSION_SECONDS, &[], seconds);
        self.metrics.observe(metrics::SEGMENT_BYTES, &[], bytes as f64);
        if let Some(cloudwatch) = &self.cloudwatch {
            cloudwatch.converted(duration, bytes).await;
        }
    }
}
