//! What this process did itself a moment ago, so that the events of its own doings need no reads.
//!
//! Losing all of it costs reads, and believing it wrongly costs a sweep: an event that is set
//! aside here is one whose segment has another way to its end, and every verb that follows from a
//! remembered row stands under that row's fence.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use parallax_job::{JobId, Segment, Timestamp, Uri};
use parallax_ports::Locations;
use parallax_ports::ledger::SegmentRow;

/// Segments and locations that are remembered.
const REMEMBERED: usize = 1000;

type Place = (JobId, u32);

fn place(segment: &Segment) -> Place {
    (segment.job_id.clone(), segment.index)
}

#[derive(Debug, Default)]
pub(crate) struct Recent {
    state: Mutex<State>,
    /// A backend that is asked took an attempt into its custody.
    accepted: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    running: BTreeSet<Place>,
    done: BTreeSet<Place>,
    done_in_order: VecDeque<Place>,
    handed_over: BTreeMap<Uri, SegmentRow>,
    sizes: BTreeMap<Segment, u64>,
    written: BTreeMap<Segment, Timestamp>,
}

/// An attempt that runs inside this process, until dropped.
#[derive(Debug)]
pub(crate) struct Running<'a> {
    recent: &'a Recent,
    place: Place,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.recent.lock().running.remove(&self.place);
    }
}

impl Recent {
    /// Notes an attempt that ends with this process: whoever runs it will say what became of it.
    pub(crate) fn running(&self, segment: &Segment) -> Running<'_> {
        let place = place(segment);
        let mut state = self.lock();
        state.done.remove(&place);
        state.running.insert(place.clone());
        Running { recent: self, place }
    }

    /// Notes how large a segment is, in bytes, and when it was written, as its event said.
    pub(crate) fn came(&self, segment: &Segment, bytes: Option<u64>, written: Option<Timestamp>) {
        let mut state = self.lock();
        if state.sizes.len() >= REMEMBERED || state.written.len() >= REMEMBERED {
            state.sizes.clear();
            state.written.clear();
        }
        if let Some(bytes) = bytes {
            state.sizes.insert(segment.clone(), bytes);
        }
        if let Some(written) = written {
            state.written.insert(segment.clone(), written);
        }
    }

    /// When a segment was written by the store's clock, if its event came here and said so.
    pub(crate) fn written_at(&self, segment: &Segment) -> Option<Timestamp> {
        self.lock().written.get(segment).copied()
    }

    /// How large a segment is, in bytes, if its event came here.
    pub(crate) fn take_size(&self, segment: &Segment) -> Option<u64> {
        self.lock().sizes.remove(segment)
    }

    /// Notes an attempt whose outcome will be at `locations`.
    pub(crate) fn handed_over(&self, row: &SegmentRow, locations: &Locations) {
        self.accepted.store(true, Ordering::Relaxed);
        let row = SegmentRow { locations: locations.clone(), ..row.clone() };
        let mut state = self.lock();
        if state.handed_over.len() >= REMEMBERED {
            state.handed_over.clear();
        }
        for uri in [&locations.response, &locations.failure].into_iter().flatten() {
            state.handed_over.insert(uri.clone(), row.clone());
        }
    }

    /// Whether a backend ever took an attempt of this process into its custody.
    pub(crate) fn was_accepted(&self) -> bool {
        self.accepted.load(Ordering::Relaxed)
    }

    /// The attempt whose outcome is at `location`, once.
    pub(crate) fn take_handed_over(&self, location: &Uri) -> Option<SegmentRow> {
        let mut state = self.lock();
        let row = state.handed_over.remove(location)?;
        for uri in [&row.locations.response, &row.locations.failure].into_iter().flatten() {
            state.handed_over.remove(uri);
        }
        Some(row)
    }

    /// Notes a completed segment that holds no permit any more.
    pub(crate) fn done(&self, segment: &Segment) {
        let place = place(segment);
        let mut state = self.lock();
        if state.done.insert(place.clone()) {
            state.done_in_order.push_back(place);
        }
        if state.done_in_order.len() > REMEMBERED
            && let Some(oldest) = state.done_in_order.pop_front()
        {
            state.done.remove(&oldest);
        }
    }

    /// Whether a result's event can say nothing new: its attempt runs in this process, or the
    /// segment was completed by it.
    pub(crate) fn accounts_for(&self, job_id: &JobId, index: u32) -> bool {
        let place = (job_id.clone(), index);
        let state = self.lock();
        state.running.contains(&place) || state.done.contains(&place)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parallax_job::Mode;

    #[test]
    fn a_segment_is_accounted_for_while_it_runs_here_and_once_it_was_completed_here() {
        let recent = Recent::default();
        let job: JobId = "j".parse().unwrap();
        let segment = Segment::new(job.clone(), 3, 5, Mode::Sbs).unwrap();
        assert!(!recent.accounts_for(&job, 3));
        let running = recent.running(&segment);
        assert!(recent.accounts_for(&job, 3) && !recent.accounts_for(&job, 2));
        drop(running);
        assert!(!recent.accounts_for(&job, 3), "it ended otherwise");
        recent.done(&segment);
        assert!(recent.accounts_for(&job, 3));
        drop(recent.running(&segment));
        assert!(!recent.accounts_for(&job, 3), "it began anew");
    }

    #[test]
    fn the_oldest_completions_are_forgotten() {
        let recent = Recent::default();
        let job: JobId = "j".parse().unwrap();
        let count = REMEMBERED as u32 + 1;
        for index in 0..count {
            recent.done(&Segment::new(job.clone(), index, count, Mode::Sbs).unwrap());
        }
        assert!(!recent.accounts_for(&job, 0));
        assert!(recent.accounts_for(&job, 1));
    }
}
