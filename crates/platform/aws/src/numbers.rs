//! The numbers that alarms look at, in CloudWatch: their table, and how they get there.

use std::time::{Duration, SystemTime};

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use parallax_ports::Result;

use crate::error::translate;

/// A metric in CloudWatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reported {
    /// Its name.
    pub name: &'static str,
    /// Its unit, as CloudWatch spells it.
    pub unit: &'static str,
    /// The names of its dimensions, all of which every datum has.
    pub dimensions: &'static [&'static str],
    /// The statistics that say something.
    pub statistic: &'static str,
    /// What it is taken from.
    pub from: From,
    /// What it says, in a sentence or less.
    pub meaning: &'static str,
}

/// What a metric in CloudWatch is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// Each completed segment.
    Conversion,
    /// Whether the process takes work.
    Readiness,
    /// The gauge of this name at `/metrics`, once it is known.
    Gauge(&'static str),
    /// How much the counter of this name has grown, over all labels but the given one.
    Counter(&'static str, Option<(&'static str, &'static str)>),
}

const BACKEND: &[&str] = &["Backend"];
const CONVERTED: &[&str] = &["Cloud", "SegmentSizeBucket"];

/// Every metric that the daemon reports to CloudWatch.
pub const CLOUDWATCH: [Reported; 8] = [
    Reported {
        name: "Ready",
        unit: "Count",
        dimensions: BACKEND,
        statistic: "Minimum, Maximum",
        from: From::Readiness,
        meaning: "1 while the process takes work, else 0; every process reports it",
    },
    Reported {
        name: "PermitsHeld",
        unit: "Count",
        dimensions: BACKEND,
        statistic: "Maximum",
        from: From::Gauge("parallax_in_flight_permits"),
        meaning: "permits held over all replicas, as each that reconciles sees them",
    },
    Reported {
        name: "PermitOverdueSeconds",
        unit: "Seconds",
        dimensions: BACKEND,
        statistic: "Maximum",
        from: From::Gauge("parallax_permit_overdue_seconds"),
        meaning: "age past its deadline of the oldest permit; 0 when there is none",
    },
    Reported {
        name: "InvariantViolations",
        unit: "Count",
        dimensions: BACKEND,
        statistic: "Sum",
        from: From::Counter("parallax_invariant_violations_total", None),
        meaning: "rules of the protocol found broken; 0 is reported",
    },
    Reported {
        name: "SegmentsCompleted",
        unit: "Count",
        dimensions: BACKEND,
        statistic: "Sum",
        from: From::Counter("parallax_segments_total", Some(("outcome", "completed"))),
        meaning: "segments completed; 0 is reported",
    },
    Reported {
        name: "SegmentsFailed",
        unit: "Count",
        dimensions: BACKEND,
        statistic: "Sum",
        from: From::Counter("parallax_segments_total", Some(("outcome", "given_up"))),
        meaning: "segments given up, each with its job; 0 is reported",
    },
    Reported {
        name: "SegmentConversionDurationSeconds",
        unit: "Seconds",
        dimensions: CONVERTED,
        statistic: "p50, p90",
        from: From::Conversion,
        meaning: "from a segment's intent to its completion",
    },
    Reported {
        name: "ConversionSecondsPerMb",
        unit: "None",
        dimensions: CONVERTED,
        statistic: "p50, p90",
        from: From::Conversion,
        meaning: "the same for each megabyte of the segment",
    },
];

/// Where these numbers go.
#[derive(Debug, Clone)]
pub struct Numbers {
    client: Client,
    namespace: String,
    backend: String,
}

impl Numbers {
    /// Numbers in `namespace` of daemons whose permits are those of `backend`.
    pub fn new(client: Client, namespace: impl Into<String>, backend: impl Into<String>) -> Self {
        Self { client, namespace: namespace.into(), backend: backend.into() }
    }

    /// Reports values as of now in one call.
    ///
    /// # Errors
    /// `Unauthorized`, `Throttled` or `Unavailable`.
    pub async fn report(&self, values: &[(&'static Reported, f64)]) -> Result<()> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let data = values.iter().map(|(metric, value)| self.datum(metric, *value, now)).collect();
        let call = self.client.put_metric_data().namespace(&self.namespace);
        let sent = call.set_metric_data(Some(data)).send().await;
        sent.map(drop).map_err(|error| translate("report numbers", error))
    }

    fn datum(&self, metric: &Reported, value: f64, now: Duration) -> MetricDatum {
        let dimension = |name: &&str| Dimension::builder().name(*name).value(&self.backend).build();
        MetricDatum::builder()
            .metric_name(metric.name)
            .unit(StandardUnit::from(metric.unit))
            .set_dimensions(Some(metric.dimensions.iter().map(dimension).collect()))
            .timestamp(DateTime::from_secs(i64::try_from(now.as_secs()).unwrap_or(i64::MAX)))
            .value(value)
            .build()
    }
}
