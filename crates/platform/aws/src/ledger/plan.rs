//! What a rule decided, as one guarded write.
//!
//! Every item that was read is guarded by a condition: on its version where it is the ledger's
//! own, on the attributes that decisions rest on where others write it too. Holders are guarded
//! one by one, not by the version of the item they share, so that verbs about different attempts
//! do not disturb each other.

use aws_sdk_dynamodb::types::AttributeValue;
use parallax_job::Uri;
use parallax_ports::ledger::rules::{self, Change};
use parallax_ports::ledger::{Holder, HolderId, SegmentRow, SegmentState};

use super::invocations::{CUTS, HOLDERS, KEY, TTL, VERSION, alias, expiry, from_holder, from_row};
use super::item::{Expression, Item, n, s};
use super::jobs::{from_completion, guard_job, guard_trigger, update_job, update_trigger};
use super::keys;
use super::snapshot::Snapshot;
use super::store::Tables;
use super::write::Write;

/// What else a write depends on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Terms {
    /// A new holder is stored only while there are fewer than this.
    pub(super) limit: Option<u32>,
    /// Leave the index of due segments alone: it is full.
    pub(super) skip_due: bool,
    /// A segment of which nothing is known has probably no row.
    pub(super) fresh: bool,
    /// The job may have changed since it was read.
    pub(super) any_job: bool,
}

/// A change and what it was decided on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan<'a> {
    pub(super) tables: &'a Tables,
    /// The name of the permits' pool.
    pub(super) pool: &'a str,
    /// Completions are written here, and not by somebody else.
    pub(super) completes: bool,
    /// The item that lists the cut of the segment is known to be written.
    pub(super) knows_cut: bool,
    pub(super) seen: &'a Snapshot,
    pub(super) change: &'a Change,
    pub(super) terms: Terms,
}

impl Plan<'_> {
    /// All of them; nothing where nothing changes.
    pub(super) fn writes(&self) -> Vec<Write> {
        let Self { seen, change, terms, .. } = *self;
        let mut writes = Vec::new();
        let segment = change.segment.as_ref().filter(|row| seen.row() != Some(row));
        if let Some(row) = segment {
            self.segment(row, &mut writes);
        }
        writes.extend(self.permits());
        if let Some(completion) = change.completion.as_ref().filter(|_| self.completes) {
            let mut e = Expression::default();
            match seen.completion.get() {
                None => e.require_absent("job_id"),
                Some(old) => {
                    e.require_same("total_segments", Some(&n(old.total_segments)));
                }
            }
            let table = self.tables.completions.clone();
            writes.push(Write::Put { table, item: from_completion(completion), e });
        }
        if let (Some(row), old) = (&change.trigger, seen.trigger.get()) {
            let old = old.map(|(_, item)| item);
            let mut e = Expression::default();
            update_trigger(&mut e, old, row);
            guard_trigger(&mut e, old);
            let version = old.and_then(|item| item.get(VERSION)).and_then(|v| v.as_n().ok());
            let version: u64 = version.and_then(|text| text.parse().ok()).unwrap_or(0);
            e.set_attribute(VERSION, n(version + 1));
            let key = Item::from([("job_id".to_owned(), s(&row.job_id))]);
            writes.push(Write::Update { table: self.tables.triggers.clone(), key, e });
        }
        let done = change.segment.as_ref().is_some_and(|row| row.state == SegmentState::Done);
        if !(terms.any_job && done && change.job.is_none()) {
            self.job(&mut writes);
        }
        // Guards alone change nothing.
        if writes.iter().all(|write| matches!(write, Write::Check { .. })) {
            writes.clear();
        }
        writes
    }

    fn segment(&self, row: &SegmentRow, writes: &mut Vec<Write>) {
        let Self { seen, terms, .. } = *self;
        let invocations = || self.tables.invocations.clone();
        let own_key = |name: String| Item::from([(KEY.to_owned(), s(name))]);
        let mut e = Expression::default();
        let version = match seen.row.get() {
            None => {
                e.require_absent(KEY);
                1
            }
            Some((_, version)) => {
                e.require_same(VERSION, Some(&n(version)));
                version + 1
            }
        };
        writes.push(Write::Put { table: invocations(), item: from_row(row, version), e });
        if seen.row().is_none() && !self.knows_cut {
            let mut e = Expression::default();
            let cut = keys::cut(row.segment.total, row.segment.mode);
            e.add(CUTS, AttributeValue::Ss(vec![cut]));
            let key = own_key(keys::cuts(&row.segment.job_id));
            writes.push(Write::Update { table: invocations(), key, e });
        }
        let waited = seen.row().is_some_and(|old| old.state == SegmentState::RetryWait);
        let waits = row.state == SegmentState::RetryWait;
        if (waited || waits) && !terms.skip_due {
            let mut e = Expression::default();
            let name = keys::name(&row.segment);
            if waits {
                e.set_attribute(&name, n(row.next_at.0));
            } else {
                e.remove_attribute(&name);
            }
            let key = own_key(keys::due(self.pool, keys::shard(&row.segment)));
            writes.push(Write::Update { table: invocations(), key, e });
        }
        self.addresses(row, writes);
    }

    /// Addresses that have an item of their own: where somebody else looks an invocation up by the
    /// address of its response, and where no permit leads to the row any more.
    fn addresses(&self, row: &SegmentRow, writes: &mut Vec<Write>) {
        let old = self.seen.row();
        let announced = old.map(|old| &old.locations) != Some(&row.locations);
        let mut places: Vec<&Uri> = match self.completes {
            true => rules::left_behind(old, row).collect(),
            false => row.locations.response.iter().filter(|_| announced).collect(),
        };
        places.dedup();
        for uri in places {
            let (table, e) = (self.tables.invocations.clone(), Expression::default());
            writes.push(Write::Put { table, item: alias(uri, row), e });
        }
    }

    /// The write of the permits, if they change.
    pub(super) fn permits(&self) -> Option<Write> {
        let Self { seen, change, terms, .. } = *self;
        let mut e = Expression::default();
        let map = e.name(HOLDERS);
        let seen_holders = seen.holders.get();
        for id in &change.remove_holders {
            let path = path(&mut e, &map, id);
            e.remove(&path);
            if let Some(old) = seen_holders.and_then(|all| all.iter().find(|h| h.id == *id)) {
                unchanged(&mut e, &path, old);
            }
        }
        if let Some(holder) = &change.put_holder {
            let path = path(&mut e, &map, &holder.id);
            e.set(&path, from_holder(holder));
            if let Some(all) = seen_holders {
                match all.iter().find(|old| old.id == holder.id) {
                    Some(old) => unchanged(&mut e, &path, old),
                    None => {
                        e.require(format!("attribute_not_exists({path})"));
                        if let Some(limit) = terms.limit {
                            let room = limit as usize + change.remove_holders.len();
                            let room = e.value(n(room));
                            e.require(format!("size({map}) < {room}"));
                        }
                    }
                }
            }
        }
        e.changes_something().then(|| Write::Update {
            table: self.tables.invocations.clone(),
            key: Item::from([(KEY.to_owned(), s(keys::permits(self.pool)))]),
            e,
        })
    }

    fn job(&self, writes: &mut Vec<Write>) {
        let Self { seen, change, .. } = *self;
        let old = seen.job.get();
        let mut e = Expression::default();
        let table = self.tables.jobs.clone();
        let key =
            |job_id: &dyn ToString| Item::from([("job_id".to_owned(), s(job_id.to_string()))]);
        guard_job(&mut e, old.map(|(_, item)| item));
        match (&change.job, old) {
            (Some(new), Some((job, _))) => {
                update_job(&mut e, job, new);
                writes.push(Write::Update { table, key: key(&new.job_id), e });
                if new.status.is_terminal() && !job.status.is_terminal() {
                    let mut e = Expression::default();
                    e.set_attribute(TTL, expiry(new.completed_at.unwrap_or_else(now)));
                    let table = self.tables.invocations.clone();
                    let key = Item::from([(KEY.to_owned(), s(keys::cuts(&new.job_id)))]);
                    writes.push(Write::Update { table, key, e });
                }
            }
            (None, Some((job, _))) => {
                writes.push(Write::Check { table, key: key(&job.job_id), e });
            }
            (None, None) if seen.job.was_asked() => {
                // Read and absent: whatever else is written belongs to this job.
                let job_id = change.segment.as_ref().map(|row| &row.segment.job_id);
                let job_id = job_id.or(change.trigger.as_ref().map(|row| &row.job_id));
                if let Some(job_id) = job_id {
                    writes.push(Write::Check { table, key: key(job_id), e });
                }
            }
            _ => {}
        }
    }
}

fn path(e: &mut Expression, map: &str, id: &HolderId) -> String {
    let name = e.name(&id.0);
    format!("{map}.{name}")
}

/// The holder is as it was read.
fn unchanged(e: &mut Expression, path: &str, old: &Holder) {
    let (deadline, segment) = (e.name("deadline_ms"), e.name("segment"));
    let value = e.value(n(old.deadline.0));
    e.require(format!("{path}.{deadline} = {value}"));
    match &old.work {
        None => e.require(format!("attribute_not_exists({path}.{segment})")),
        Some(work) => {
            let value = e.value(s(keys::name(&work.segment)));
            e.require(format!("{path}.{segment} = {value}"));
        }
    }
}

fn now() -> parallax_job::Timestamp {
    parallax_job::Timestamp::from_system_clock()
}
