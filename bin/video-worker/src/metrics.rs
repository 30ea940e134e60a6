//! Where numbers go: `/metrics`, and conversions to CloudWatch where that is asked for.

use std::sync::Arc;
use std::time::Duration;

use parallax_aws::ConversionMetrics;
use parallax_ports::{MetricsSink, NoMetrics};
use parallax_telemetry::PrometheusMetrics;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{MetricsProvider, Settings};
use crate::platform;

/// How often conversions are reported.
const EVERY: Duration = Duration::from_secs(30);
/// Conversions that wait to be reported; more are dropped.
const WAITING: usize = 1000;

/// Where the loops report to, and the task that carries conversions, which ends with the sink.
pub(crate) async fn sink(
    settings: &Settings,
    provider: MetricsProvider,
    numbers: Arc<PrometheusMetrics>,
) -> (Arc<dyn MetricsSink>, Option<JoinHandle<()>>) {
    match provider {
        MetricsProvider::Prometheus => (numbers, None),
        MetricsProvider::None => (Arc::new(NoMetrics), None),
        MetricsProvider::Cloudwatch => {
            let (conversions, waiting) = mpsc::channel(WAITING);
            let target = platform::conversions(&settings.metrics_namespace).await;
            let carrier = tokio::spawn(carry(waiting, target));
            (Arc::new(WithConversions { numbers, conversions }), Some(carrier))
        }
    }
}

#[derive(Debug)]
struct WithConversions {
    numbers: Arc<PrometheusMetrics>,
    conversions: mpsc::Sender<(Duration, u64)>,
}

// A wrapper that forgets a method with a default drops what it should pass on.
#[deny(clippy::missing_trait_methods)]
impl MetricsSink for WithConversions {
    fn count(&self, name: &'static str, labels: &[(&'static str, &'static str)], by: u64) {
        self.numbers.count(name, labels, by);
    }

    fn gauge(&self, name: &'static str, labels: &[(&'static str, &'static str)], value: f64) {
        self.numbers.gauge(name, labels, value);
    }

    fn observe(&self, name: &'static str, labels: &[(&'static str, &'static str)], value: f64) {
        self.numbers.observe(name, labels, value);
    }

    fn converted(&self, duration: Duration, bytes: u64) {
        // A report that is dropped is worth less than a call that waits.
        let _ = self.conversions.try_send((duration, bytes));
    }

    fn keeps_conversions(&self) -> bool {
        true
    }
}

async fn carry(mut waiting: mpsc::Receiver<(Duration, u64)>, target: ConversionMetrics) {
    let mut gathered = Vec::new();
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = tick.tick() => {
                if !gathered.is_empty() {
                    target.all_converted(&std::mem::take(&mut gathered)).await;
                }
            }
            one = waiting.recv() => match one {
                Some(one) => gathered.push(one),
                None => break,
            },
        }
    }
    if !gathered.is_empty() {
        target.all_converted(&gathered).await;
    }
}
