//! What is to be reported to CloudWatch next, by the table of what is.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use parallax_aws::{CLOUDWATCH, From, Reported};
use tokio::time::Instant;

/// How long a gauge is true. A replica looks every two minutes at the longest: one that missed two looks
/// knows nothing any more, and the alarm of those that are silent is not to see the last look for ever.
const STANDS: Duration = Duration::from_secs(300);

/// A value for each metric of the table, as far as one is known.
#[derive(Debug)]
pub(super) struct Tally(Mutex<[Known; CLOUDWATCH.len()]>);

/// What is known of one metric.
#[derive(Debug, Clone, Copy)]
enum Known {
    /// Counted since the last report.
    Count(f64),
    /// Seen, and when.
    Seen(f64, Instant),
    /// Nothing, or found elsewhere.
    Nothing,
}

impl Default for Tally {
    fn default() -> Self {
        // An alarm needs something to look at: that nothing was counted is reported.
        Self(Mutex::new(CLOUDWATCH.map(|metric| match metric.from {
            From::Counter(..) => Known::Count(0.0),
            _ => Known::Nothing,
        })))
    }
}

impl Tally {
    pub(super) fn count(&self, name: &str, labels: &[(&str, &str)], by: u64) {
        for (metric, known) in CLOUDWATCH.iter().zip(self.lock().iter_mut()) {
            let (From::Counter(of, with), Known::Count(count)) = (metric.from, known) else {
                continue;
            };
            if of == name && with.is_none_or(|label| labels.contains(&label)) {
                *count += by as f64;
            }
        }
    }

    pub(super) fn gauge(&self, name: &str, value: f64, now: Instant) {
        for (metric, known) in CLOUDWATCH.iter().zip(self.lock().iter_mut()) {
            if matches!(metric.from, From::Gauge(of) if of == name) {
                *known = Known::Seen(value, now);
            }
        }
    }

    /// What there is to report. What was counted begins at 0 again.
    pub(super) fn take(&self, ready: Option<bool>, now: Instant) -> Vec<(&'static Reported, f64)> {
        let mut all = Vec::new();
        for (metric, known) in CLOUDWATCH.iter().zip(self.lock().iter_mut()) {
            let found = match known {
                Known::Count(count) => Some(std::mem::take(count)),
                Known::Seen(value, at) if now.duration_since(*at) <= STANDS => Some(*value),
                Known::Nothing if matches!(metric.from, From::Readiness) => {
                    ready.map(|ready| if ready { 1.0 } else { 0.0 })
                }
                Known::Seen(..) | Known::Nothing => None,
            };
            all.extend(found.map(|value| (metric, value)));
        }
        all
    }

    /// Counts again what was taken and not reported.
    pub(super) fn put_back(&self, taken: &[(&'static Reported, f64)]) {
        let mut all = self.lock();
        for (metric, value) in taken {
            let place = CLOUDWATCH.iter().position(|other| other.name == metric.name);
            if let Some(Known::Count(count)) = place.map(|place| &mut all[place]) {
                *count += value;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, [Known; CLOUDWATCH.len()]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parallax_ports::metrics::{Kind, Metric};
    use parallax_worker::METRICS;

    fn taken(tally: &Tally, ready: Option<bool>) -> Vec<(&'static str, f64)> {
        tally
            .take(ready, Instant::now())
            .into_iter()
            .map(|(metric, value)| (metric.name, value))
            .collect()
    }

    #[test]
    fn counts_are_reported_once_and_gauges_as_they_stand() {
        let tally = Tally::default();
        let nothing =
            [("InvariantViolations", 0.0), ("SegmentsCompleted", 0.0), ("SegmentsFailed", 0.0)];
        assert_eq!(taken(&tally, None), nothing, "gauges are not known yet");
        tally.gauge("parallax_in_flight_permits", 3.0, Instant::now());
        tally.count("parallax_segments_total", &[("outcome", "completed")], 2);
        tally.count("parallax_segments_total", &[("outcome", "given_up")], 1);
        tally.count("parallax_invariant_violations_total", &[("invariant", "limit")], 1);
        tally.count("parallax_messages_total", &[("outcome", "done")], 7);
        let expected = [
            ("Ready", 0.0),
            ("PermitsHeld", 3.0),
            ("InvariantViolations", 1.0),
            ("SegmentsCompleted", 2.0),
            ("SegmentsFailed", 1.0),
        ];
        let values = tally.take(Some(false), Instant::now());
        tally.put_back(&values);
        tally.count("parallax_segments_total", &[("outcome", "completed")], 1);
        let mut again = expected;
        again[3].1 = 3.0;
        assert_eq!(
            taken(&tally, Some(false)),
            again,
            "what could not be reported comes with the next"
        );
        let later = [("Ready", 1.0), ("PermitsHeld", 3.0), nothing[0], nothing[1], nothing[2]];
        assert_eq!(taken(&tally, Some(true)), later);
    }

    #[test]
    fn a_gauge_that_nobody_gives_any_more_is_not_reported() {
        let (tally, start) = (Tally::default(), Instant::now());
        let reported = |after: u64| {
            let values = tally.take(None, start + Duration::from_secs(after));
            values.into_iter().find(|(metric, _)| metric.name == "PermitsHeld").map(|(_, v)| v)
        };
        tally.gauge("parallax_in_flight_permits", 3.0, start);
        // Two looks of a replica that finds nothing to do.
        assert_eq!((reported(0), reported(240), reported(600)), (Some(3.0), Some(3.0), None));
        tally.gauge("parallax_in_flight_permits", 0.0, start + Duration::from_secs(601));
        assert_eq!(reported(602), Some(0.0), "it looks again");
    }

    #[test]
    fn what_is_reported_is_taken_from_numbers_that_there_are() {
        let known = |name: &str| -> &Metric {
            METRICS.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("{name}"))
        };
        for metric in &CLOUDWATCH {
            match metric.from {
                From::Gauge(name) => assert_eq!(known(name).kind, Kind::Gauge),
                From::Counter(name, label) => {
                    assert_eq!(known(name).kind, Kind::Counter);
                    assert!(label.is_none_or(|(label, _)| known(name).labels.contains(&label)));
                }
                From::Readiness | From::Conversion => {}
            }
        }
    }
}
