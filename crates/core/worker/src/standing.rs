//! What a replica has seen standing in its sweeps.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use parallax_job::{JobStatus, Timestamp};
use parallax_ports::ledger::{Cursor, HolderId, Job};

/// Segments without a row whose events one sweep sends again. A backlog looks like lost events when
/// everything is slow; sending it all again would make it slower, and the sweep late for its permits.
const SENT_AT_ONCE: usize = 20;

/// What this replica has seen standing, since when, and how often it sent the event again. Losing
/// it costs time, nothing else.
#[derive(Debug)]
pub(crate) struct Memory {
    /// This replica's name when it asks for the turn.
    pub(crate) name: HolderId,
    pub(crate) has_turn: bool,
    /// Its sweeps failed; until then it leaves the turn to others.
    pub(crate) stands_back_until: Timestamp,
    standing: BTreeMap<String, Standing>,
    /// Events that this sweep has sent again.
    pub(crate) sent: usize,
    /// The last sweep found nothing that moves or should.
    pub(crate) idle: bool,
    pub(crate) pass: Pass,
}

/// Once through every unfinished job, over as many sweeps as that takes.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    /// Listed and not looked at yet.
    pub(crate) left: VecDeque<Job>,
    /// What is still to be listed, and from where.
    pub(crate) to_list: VecDeque<(JobStatus, Option<Cursor>)>,
    /// Jobs may have been missed, so that nothing can be said of what was not seen.
    pub(crate) incomplete: bool,
}

impl Pass {
    pub(crate) fn is_over(&self) -> bool {
        self.left.is_empty() && self.to_list.is_empty()
    }
}

#[derive(Debug)]
struct Standing {
    since: Timestamp,
    resent: u32,
    seen: bool,
}

impl Memory {
    pub(crate) fn new(name: HolderId) -> Self {
        Self {
            name,
            has_turn: false,
            stands_back_until: Timestamp(0),
            standing: BTreeMap::new(),
            sent: 0,
            idle: false,
            pass: Pass::default(),
        }
    }

    /// Whether `what` has stood for `unattended`, doubled for each time this answered yes.
    pub(crate) fn overdue(&mut self, what: String, unattended: Duration, now: Timestamp) -> bool {
        let entry = self.see(what, now);
        let patience = unattended * 2u32.saturating_pow(entry.resent.min(6));
        if now.since(entry.since) < patience {
            return false;
        }
        entry.since = now;
        entry.resent += 1;
        true
    }

    /// The same for what a sweep does a bounded number of times; the rest stays overdue.
    pub(crate) fn overdue_in_turn(
        &mut self,
        what: String,
        unattended: Duration,
        now: Timestamp,
    ) -> bool {
        if self.sent >= SENT_AT_ONCE {
            self.see(what, now);
            return false;
        }
        let overdue = self.overdue(what, unattended, now);
        self.sent += usize::from(overdue);
        overdue
    }

    /// Whether `what` has not been done for `every`, or by this replica never.
    pub(crate) fn is_turn(&mut self, what: String, every: Duration, now: Timestamp) -> bool {
        let new = !self.standing.contains_key(&what);
        let entry = self.see(what, now);
        let turn = new || now.since(entry.since) >= every;
        if turn {
            entry.since = now;
        }
        turn
    }

    fn see(&mut self, what: String, now: Timestamp) -> &mut Standing {
        let entry =
            self.standing.entry(what).or_insert(Standing { since: now, resent: 0, seen: true });
        entry.seen = true;
        entry
    }

    /// Forgets what did not stand in the sweep that ends here.
    pub(crate) fn forget_moved(&mut self) {
        self.standing.retain(|_, entry| std::mem::take(&mut entry.seen));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_announced_a_few_at_a_time_until_all_of_it_was() {
        let mut memory = Memory::new(HolderId("me".to_owned()));
        let (unattended, begin) = (Duration::from_secs(300), Timestamp(1_000_000));
        let mut sweep = |now: Timestamp| {
            memory.sent = 0;
            let sent = (0..50)
                .filter(|index| memory.overdue_in_turn(format!("segment {index}"), unattended, now))
                .count();
            memory.forget_moved();
            sent
        };
        let later = begin + unattended;
        assert_eq!(sweep(begin), 0, "nothing has stood for long");
        let sent: Vec<usize> = (0..4).map(|_| sweep(later)).collect();
        assert_eq!(sent, [SENT_AT_ONCE, SENT_AT_ONCE, 10, 0]);
    }
}
