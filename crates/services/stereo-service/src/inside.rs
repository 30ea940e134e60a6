//! What goes on inside a conversion: how far it and its parts are, and what they take.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use parallax_ports::MetricsSink;
use parallax_serving::Progress;
use parallax_stereo::{Retry, Stage, Watch};

use crate::metrics;

/// One conversion, as its engine and its encoder tell of it from their threads.
pub(super) struct Inside {
    report: Box<dyn Fn(Progress) + Send + Sync>,
    metrics: Arc<dyn MetricsSink>,
    state: Mutex<State>,
}

struct State {
    now: Progress,
    /// When an engine's part last came to an end. Parts take turns on one thread, so what lies
    /// between two ends belongs to the later one.
    last: Instant,
    spent: BTreeMap<&'static str, Duration>,
}

impl Inside {
    pub(super) fn new(
        report: impl Fn(Progress) + Send + Sync + 'static,
        metrics: Arc<dyn MetricsSink>,
    ) -> Arc<Self> {
        let state = State {
            now: Progress::stage("converting"),
            last: Instant::now(),
            spent: BTreeMap::new(),
        };
        Arc::new(Self { report: Box::new(report), metrics, state: Mutex::new(state) })
    }

    /// The engine's turn begins.
    pub(super) fn begin(&self) {
        let mut state = self.lock();
        state.last = Instant::now();
        (self.report)(state.now.clone());
    }

    /// So many frames have come out.
    pub(super) fn converted(&self, done: u64, total: u64, per_second: f64) {
        let mut state = self.lock();
        state.now = Progress { done, total, per_second, ..state.now.clone() };
        (self.report)(state.now.clone());
    }

    /// What an engine is given to tell of its parts.
    pub(super) fn watch(self: &Arc<Self>) -> Watch {
        let (frames, again) = (self.clone(), self.clone());
        Watch::new(move |stage, done| frames.passed(stage, done))
            .with_retries(move |retry| again.again(retry))
    }

    fn passed(&self, stage: Stage, frames: u64) {
        let mut state = self.lock();
        let now = Instant::now();
        let took = now - std::mem::replace(&mut state.last, now);
        *state.spent.entry(name(stage)).or_default() += took;
        state.now.parts.insert(name(stage), frames);
        (self.report)(state.now.clone());
    }

    /// A piece of the engine's work is done again.
    fn again(&self, retry: &Retry) {
        match retry {
            Retry::OutOfMemory(_) => self.retried(),
            Retry::Wider(_) => self.metrics.count(metrics::WIDER, &[], 1),
        }
    }

    /// Memory ran out, and something is tried again.
    pub(super) fn retried(&self) {
        self.metrics.count(metrics::OUT_OF_MEMORY, &[], 1);
    }

    /// The engine's turn is over: the parts' times are counted.
    pub(super) fn end(&self) {
        for (part, spent) in std::mem::take(&mut self.lock().spent) {
            self.metrics.observe(metrics::STAGE, &[("stage", part)], spent.as_secs_f64());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Depth => "depth",
        Stage::Warp => "warp",
        Stage::Inpaint => "inpaint",
    }
}

#[cfg(test)]
mod tests {
    use parallax_stereo::{NotFinite, Odd};

    use super::*;

    type Labels = Vec<(&'static str, &'static str)>;

    #[derive(Debug, Default)]
    struct Seen(Mutex<Vec<(&'static str, Labels)>>);

    impl MetricsSink for Seen {
        fn count(&self, name: &'static str, labels: &[(&'static str, &'static str)], _: u64) {
            self.0.lock().unwrap().push((name, labels.to_vec()));
        }

        fn gauge(&self, _: &'static str, _: &[(&'static str, &'static str)], _: f64) {}

        fn observe(&self, name: &'static str, labels: &[(&'static str, &'static str)], _: f64) {
            self.0.lock().unwrap().push((name, labels.to_vec()));
        }
    }

    #[test]
    fn parts_are_told_beside_the_frames_and_their_times_once() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::new(Seen::default());
        let of_report = told.clone();
        let report = move |now| of_report.lock().unwrap().push(now);
        let inside = Inside::new(report, seen.clone());
        inside.begin();
        let watch = inside.watch();
        watch.tell(Stage::Depth, 5);
        watch.tell_retry(&Retry::OutOfMemory(Stage::Inpaint));
        let found = Odd { nan: 1, infinite: 0, values: 2 };
        let (source, place) = ("it".to_owned(), "frame 0".to_owned());
        watch.tell_retry(&Retry::Wider(NotFinite { stage: Stage::Depth, source, place, found }));
        watch.tell(Stage::Inpaint, 3);
        watch.tell(Stage::Depth, 9);
        inside.converted(2, 10, 1.5);
        inside.end();
        let last = told.lock().unwrap().pop().unwrap();
        assert_eq!((last.stage, last.done, last.total), ("converting", 2, 10));
        assert_eq!(last.parts, BTreeMap::from([("depth", 9), ("inpaint", 3)]));
        let seen = seen.0.lock().unwrap().clone();
        let stage = |name| (metrics::STAGE, vec![("stage", name)]);
        let again = [(metrics::OUT_OF_MEMORY, vec![]), (metrics::WIDER, vec![])];
        assert_eq!(seen, [again.as_slice(), &[stage("depth"), stage("inpaint")]].concat());
    }
}
