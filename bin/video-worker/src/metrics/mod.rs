//! Where numbers go: `/metrics`, and to CloudWatch where that is asked for.

mod page;
mod tally;

use std::sync::Arc;
use std::time::Duration;

use parallax_aws::{ConversionMetrics, Numbers};
use parallax_ports::health::Flags;
use parallax_ports::{MetricsSink, NoMetrics};
use parallax_telemetry::PrometheusMetrics;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};
use tracing::warn;

use crate::config::{MetricsProvider, Pace, Settings};
use crate::platform;
use tally::Tally;

pub(crate) use page::print;

/// How often conversions are reported.
const EVERY: Duration = Duration::from_secs(30);
/// How often the numbers of alarms are: CloudWatch keeps minutes.
const NUMBERS_EVERY: Duration = Duration::from_secs(60);
/// The same where every service is emulated.
const NUMBERS_QUICKLY: Duration = Duration::from_secs(2);
/// Conversions that wait to be reported; more are dropped.
const WAITING: usize = 1000;

/// Where the loops report to, and the task that carries to CloudWatch, which ends with the sink.
pub(crate) async fn sink(
    settings: &Settings,
    provider: MetricsProvider,
    numbers: Arc<PrometheusMetrics>,
    flags: Flags,
) -> (Arc<dyn MetricsSink>, Option<JoinHandle<()>>) {
    match provider {
        MetricsProvider::Prometheus => (numbers, None),
        MetricsProvider::None => (Arc::new(NoMetrics), None),
        MetricsProvider::Cloudwatch => {
            let (conversions, waiting) = mpsc::channel(WAITING);
            let tally = Arc::new(Tally::default());
            let (to, about) = platform::cloudwatch(settings).await;
            let every = match settings.pace {
                Pace::Cloud => NUMBERS_EVERY,
                Pace::Quick => NUMBERS_QUICKLY,
            };
            let carrier = Carrier { to, about, tally: tally.clone(), flags };
            let carrier = tokio::spawn(carrier.carry(waiting, every));
            (Arc::new(Cloudwatch { numbers, conversions, tally }), Some(carrier))
        }
    }
}

#[derive(Debug)]
struct Cloudwatch {
    numbers: Arc<PrometheusMetrics>,
    conversions: mpsc::Sender<(Duration, u64)>,
    tally: Arc<Tally>,
}

// A wrapper that forgets a method with a default drops what it should pass on.
#[deny(clippy::missing_trait_methods)]
impl MetricsSink for Cloudwatch {
    fn count(&self, name: &'static str, labels: &[(&'static str, &'static str)], by: u64) {
        self.numbers.count(name, labels, by);
        self.tally.count(name, labels, by);
    }

    fn gauge(&self, name: &'static str, labels: &[(&'static str, &'static str)], value: f64) {
        self.numbers.gauge(name, labels, value);
        self.tally.gauge(name, value, Instant::now());
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

/// Brings to CloudWatch what was gathered.
struct Carrier {
    to: ConversionMetrics,
    about: Numbers,
    tally: Arc<Tally>,
    flags: Flags,
}

impl Carrier {
    async fn carry(self, mut waiting: mpsc::Receiver<(Duration, u64)>, every: Duration) {
        let mut gathered = Vec::new();
        let mut tick = interval(EVERY.min(every));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut minute = interval_at(Instant::now() + every, every);
        minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = tick.tick() => {
                    if !gathered.is_empty() {
                        self.to.all_converted(&std::mem::take(&mut gathered)).await;
                    }
                }
                _ = minute.tick() => self.report(Some(self.flags.lowered().is_empty())).await,
                one = waiting.recv() => match one {
                    Some(one) => gathered.push(one),
                    None => break,
                },
            }
        }
        if !gathered.is_empty() {
            self.to.all_converted(&gathered).await;
        }
        // A process that was asked to stop is not missed.
        self.report(None).await;
    }

    /// Reports the numbers of alarms. What was counted and could not be reported is not lost.
    async fn report(&self, ready: Option<bool>) {
        let values = self.tally.take(ready, Instant::now());
        if let Err(error) = self.about.report(&values).await {
            warn!(error = %error.chain(), "numbers were not reported; they will be with the next");
            self.tally.put_back(&values);
        }
    }
}
