//! Further tries of segments, which the worker's loops time and count, told as the ledger tells them.

use std::collections::BTreeMap;
use std::time::Duration;

use parallax_ports::ledger::{SegmentRow, SegmentState};
use parallax_ports::{Clock, SystemClock};

use super::progress::Reporter;

/// The failures of each segment that were told.
#[derive(Debug)]
pub(crate) struct Retries {
    told: BTreeMap<u32, u32>,
    tries: u32,
}

impl Retries {
    /// Tells what happens from now on, to segments that have `tries` each.
    pub(crate) fn since(rows: &[SegmentRow], tries: u32) -> Self {
        Self { told: rows.iter().map(|row| (row.segment.index, row.failures)).collect(), tries }
    }

    /// Tells of every segment that failed and is tried again.
    pub(crate) fn tell(&mut self, rows: &[SegmentRow], reporter: &Reporter) {
        for row in rows {
            let told = self.told.insert(row.segment.index, row.failures).unwrap_or(0);
            if row.failures <= told || row.state == SegmentState::Failed {
                continue;
            }
            let what = format!("segment {} of {}", row.segment.index + 1, row.segment.total);
            let why = row.last_error.as_ref().map_or("", |error| &error.message);
            let waits = row.state == SegmentState::RetryWait;
            let wait: Option<Duration> = waits.then(|| row.next_at.since(SystemClock.now()));
            reporter.retry(&what, (row.failures, self.tries), why, wait);
        }
    }
}
