//! Conversion metrics in CloudWatch, under the names that deployed dashboards and the estimate of
//! remaining time read.
//!
//! Conversions are reported together. A conversion is worth more than its metric: a failed call is
//! logged and forgotten.

use std::time::Duration;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use tracing::warn;

use crate::error::translate;

/// Conversions in one call, each of them two data; the service takes a thousand.
const AT_ONCE: usize = 400;

/// Where conversion metrics go.
#[derive(Debug, Clone)]
pub struct ConversionMetrics {
    client: Client,
    namespace: String,
    cloud: String,
}

/// Size classes, by the bytes of the segment that was converted.
fn size_class(bytes: u64) -> &'static str {
    match bytes {
        0..5_000_000 => "0-5",
        5_000_000..20_000_000 => "5-20",
        20_000_000..50_000_000 => "20-50",
        _ => "50+",
    }
}

impl ConversionMetrics {
    /// Metrics in `namespace`; `StereoSpot/Conversion` is the deployed one.
    pub fn new(client: Client, namespace: impl Into<String>) -> Self {
        Self { client, namespace: namespace.into(), cloud: "aws".to_owned() }
    }

    /// Reports one conversion of a segment of `bytes` that took `duration`.
    pub async fn converted(&self, duration: Duration, bytes: u64) {
        self.all_converted(&[(duration, bytes)]).await;
    }

    /// Reports conversions by how long each took and the bytes of its segment.
    pub async fn all_converted(&self, conversions: &[(Duration, u64)]) {
        for some in conversions.chunks(AT_ONCE) {
            let data = some.iter().flat_map(|(duration, bytes)| self.data(*duration, *bytes));
            let call = self.client.put_metric_data().namespace(&self.namespace);
            if let Err(error) = call.set_metric_data(Some(data.collect())).send().await {
                let error = translate("report conversions", error);
                warn!(count = some.len(), error = %error.chain(), "conversions were not counted");
            }
        }
    }

    fn data(&self, duration: Duration, bytes: u64) -> Vec<MetricDatum> {
        let dimension =
            |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
        let datum = |name: &str, value: f64| {
            MetricDatum::builder()
                .metric_name(name)
                .value(value)
                .dimensions(dimension("Cloud", &self.cloud))
                .dimensions(dimension("SegmentSizeBucket", size_class(bytes)))
        };
        let seconds = duration.as_secs_f64();
        let whole = datum("SegmentConversionDurationSeconds", seconds);
        let mut data = vec![whole.unit(StandardUnit::Seconds).build()];
        if bytes > 0 {
            let per_mb = seconds / (bytes as f64 / 1e6);
            data.push(datum("ConversionSecondsPerMb", per_mb).build());
        }
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CLOUDWATCH, From};

    #[tokio::test]
    async fn conversions_are_reported_as_the_table_says() {
        let aws = crate::Aws::load(&crate::Settings::default()).await;
        let to = ConversionMetrics::new(aws.cloudwatch(), "StereoSpot/Conversion");
        let made = to.data(Duration::from_secs(3), 1_000_000);
        let table: Vec<_> =
            CLOUDWATCH.iter().filter(|metric| metric.from == From::Conversion).collect();
        assert_eq!(made.len(), table.len());
        for (datum, metric) in made.iter().zip(table) {
            assert_eq!(datum.metric_name(), Some(metric.name));
            let unit = datum.unit().map_or("None", StandardUnit::as_str);
            assert_eq!(unit, metric.unit, "{}", metric.name);
            let names: Vec<_> = datum.dimensions().iter().filter_map(Dimension::name).collect();
            assert_eq!(names, metric.dimensions, "{}", metric.name);
        }
    }

    #[test]
    fn size_classes_are_the_deployed_ones() {
        for (bytes, class) in [
            (0, "0-5"),
            (4_999_999, "0-5"),
            (5_000_000, "5-20"),
            (19_900_000, "5-20"),
            (20_000_000, "20-50"),
            (50_000_000, "50+"),
            (u64::MAX, "50+"),
        ] {
            assert_eq!(size_class(bytes), class, "{bytes}");
        }
    }
}
