//! What is to be reported to CloudWatch next, by the table of what is.

use std::sync::{Mutex, MutexGuard, PoisonError};

use parallax_aws::{CLOUDWATCH, From, Reported};

/// A value for each metric of the table, as far as one is known.
#[derive(Debug)]
pub(super) struct Tally(Mutex<[Option<f64>; CLOUDWATCH.len()]>);

impl Default for Tally {
    fn default() -> Self {
        // An alarm needs something to look at: that nothing was counted is reported.
        let known = |metric: Reported| matches!(metric.from, From::Counter(..)).then_some(0.0);
        Self(Mutex::new(CLOUDWATCH.map(known)))
    }
}

impl Tally {
    pub(super) fn count(&self, name: &str, labels: &[(&str, &str)], by: u64) {
        for (metric, value) in CLOUDWATCH.iter().zip(self.lock().iter_mut()) {
            let From::Counter(of, with) = metric.from else { continue };
            if of == name && with.is_none_or(|label| labels.contains(&label)) {
                *value = Some(value.unwrap_or(0.0) + by as f64);
            }
        }
    }

    pub(super) fn gauge(&self, name: &str, now: f64) {
        for (metric, value) in CLOUDWATCH.iter().zip(self.lock().iter_mut()) {
            if matches!(metric.from, From::Gauge(of) if of == name) {
                *value = Some(now);
            }
        }
    }

    /// What there is to report. What was counted begins at 0 again.
    pub(super) fn take(&self, ready: Option<bool>) -> Vec<(&'static Reported, f64)> {
        let mut all = Vec::new();
        for (metric, value) in CLOUDWATCH.iter().zip(self.lock().iter_mut()) {
            let found = match metric.from {
                From::Readiness => ready.map(|ready| if ready { 1.0 } else { 0.0 }),
                From::Counter(..) => value.replace(0.0),
                From::Gauge(_) => *value,
                From::Conversion => None,
            };
            all.extend(found.map(|value| (metric, value)));
        }
        all
    }

    /// Counts again what was taken and not reported.
    pub(super) fn put_back(&self, taken: &[(&'static Reported, f64)]) {
        let mut values = self.lock();
        for (metric, value) in taken {
            let place = CLOUDWATCH.iter().position(|other| other.name == metric.name);
            if let (From::Counter(..), Some(place)) = (metric.from, place) {
                values[place] = Some(values[place].unwrap_or(0.0) + value);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, [Option<f64>; CLOUDWATCH.len()]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parallax_ports::metrics::{Kind, Metric};
    use parallax_worker::METRICS;

    fn taken(tally: &Tally, ready: Option<bool>) -> Vec<(&'static str, f64)> {
        tally.take(ready).into_iter().map(|(metric, value)| (metric.name, value)).collect()
    }

    #[test]
    fn counts_are_reported_once_and_gauges_as_they_stand() {
        let tally = Tally::default();
        let nothing =
            [("InvariantViolations", 0.0), ("SegmentsCompleted", 0.0), ("SegmentsFailed", 0.0)];
        assert_eq!(taken(&tally, None), nothing, "gauges are not known yet");
        tally.gauge("parallax_in_flight_permits", 3.0);
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
        let values = tally.take(Some(false));
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
