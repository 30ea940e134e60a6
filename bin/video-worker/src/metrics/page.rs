//! The numbers as a page: `docs/reference/metrics.md` is what this prints.

use anyhow::Result;
use parallax_aws::{CLOUDWATCH, From};
use parallax_worker::METRICS;
use serde_json::json;

use crate::command::MetricsArgs;
use crate::operate::say;

/// Prints every number that the daemon reports.
///
/// # Errors
/// None.
pub(crate) fn print(args: &MetricsArgs) -> Result<()> {
    match args.json {
        true => as_json(),
        false => say(&markdown().trim_end()),
    }
    Ok(())
}

fn as_json() {
    for metric in &METRICS {
        say(&json!({"at": "/metrics", "name": metric.name, "kind": metric.kind.as_str(),
            "labels": metric.labels, "meaning": metric.meaning}));
    }
    for metric in &CLOUDWATCH {
        say(&json!({"at": "cloudwatch", "name": metric.name, "unit": metric.unit,
            "dimensions": metric.dimensions, "statistic": metric.statistic,
            "meaning": metric.meaning}));
    }
}

const HEAD: &str = "\
# Metrics of video-worker

This page is what `video-worker metrics --markdown` prints; a test keeps it so.

## At `/metrics`

For Prometheus, at `HEALTH_ADDRESS` unless `METRICS_PROVIDER=none`. Histograms ending in `_seconds` have buckets
from 5 ms to an hour.

| metric | kind | meaning |
| --- | --- | --- |
";

const CLOUD: &str = "
## In CloudWatch

With `METRICS_PROVIDER=cloudwatch`, the default on AWS, in the namespace `METRICS_NAMESPACE`
(`StereoSpot/Conversion`), by `PutMetricData` once a minute; conversions every half a minute while there are any.
Every datum has exactly these dimensions. `Backend` is the name of what the permits limit: the endpoint's
name with `INFERENCE_BACKEND=sagemaker`, else `http`, `stub` or `engine`. `Cloud` is `aws`, `SegmentSizeBucket` one
of `0-5`, `5-20`, `20-50` and `50+` megabytes.

| metric | unit | dimensions | statistic | taken from | meaning |
| --- | --- | --- | --- | --- | --- |
";

const TAIL: &str = "
The age of the oldest message and the number of dead letters are SQS's own metrics,
`ApproximateAgeOfOldestMessage` and `ApproximateNumberOfMessagesVisible` in `AWS/SQS`. That permits are held and nothing
completes is `PermitsHeld > 0` together with a sum of `SegmentsCompleted` of 0.
";

fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for metric in &METRICS {
        let labels = match metric.labels {
            [] => String::new(),
            labels => format!("{{{}}}", labels.join(",")),
        };
        let (name, kind, meaning) = (metric.name, metric.kind.as_str(), metric.meaning);
        page += &format!("| `{name}{labels}` | {kind} | {meaning} |\n");
    }
    page += CLOUD;
    for metric in &CLOUDWATCH {
        let dimensions: Vec<_> = metric.dimensions.iter().map(|name| format!("`{name}`")).collect();
        let from = match metric.from {
            From::Conversion => "each conversion".to_owned(),
            From::Readiness => "`/readyz`".to_owned(),
            From::Gauge(name) | From::Counter(name, None) => format!("`{name}`"),
            From::Counter(name, Some((label, value))) => format!("`{name}{{{label}=\"{value}\"}}`"),
        };
        page += &format!(
            "| `{}` | {} | {} | {} | {from} | {} |\n",
            metric.name,
            metric.unit,
            dimensions.join(", "),
            metric.statistic,
            metric.meaning
        );
    }
    page + TAIL
}

#[cfg(test)]
mod tests {
    use super::markdown;

    #[test]
    fn the_committed_page_is_what_the_table_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/metrics.md");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        let made = markdown();
        for (line, (here, there)) in made.lines().zip(committed.lines()).enumerate() {
            assert_eq!(
                here,
                there,
                "line {}: video-worker metrics --markdown makes it anew",
                line + 1
            );
        }
        assert_eq!(made.lines().count(), committed.lines().count());
    }
}
