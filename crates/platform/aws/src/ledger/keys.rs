//! Names of the ledger's own items in the table of inference invocations.
//!
//! The table's key is called `output_location` and holds addresses; none of these names is one, so
//! the item kinds cannot meet.

use parallax_job::{JobId, Mode, Segment};

/// Shards of the set of due segments: an item holds at most 400 KB.
pub(super) const DUE_SHARDS: u32 = 8;

/// The permits of a pool.
pub(super) fn permits(pool: &str) -> String {
    format!("permits#{pool}")
}

/// A segment's row.
pub(super) fn segment(segment: &Segment) -> String {
    format!("seg#{}", name(segment))
}

/// The cuts of a job that have rows.
pub(super) fn cuts(job_id: &JobId) -> String {
    format!("cuts#{job_id}")
}

/// The roles that are paused, for every pool of the deployment.
pub(super) const PAUSED: &str = "paused-roles";

/// What each replica says of itself.
pub(super) const REPLICAS: &str = "replicas";

/// The number of the latest act of an operator.
pub(super) const ACTS: &str = "acts";

/// An act of an operator.
pub(super) fn act(number: u64) -> String {
    format!("act#{number}")
}

/// One shard of the segments that wait for another attempt.
pub(super) fn due(pool: &str, shard: u32) -> String {
    format!("due#{pool}#{shard}")
}

/// The shard that a segment waits in.
pub(super) fn shard(segment: &Segment) -> u32 {
    // FNV-1a: stable over versions, which the standard hasher does not promise.
    let mut hash = 0x811c_9dc5u32;
    for byte in name(segment).bytes() {
        hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    hash % DUE_SHARDS
}

/// A segment as text: no part of it can hold a `#`.
pub(super) fn name(segment: &Segment) -> String {
    let Segment { job_id, total, index, mode } = segment;
    format!("{job_id}#{total}#{index}#{mode}")
}

/// The segment that [`name`] wrote.
pub(super) fn parse_name(text: &str) -> Option<Segment> {
    let mut parts = text.split('#');
    let job_id = parts.next()?.parse().ok()?;
    let total = parts.next()?.parse().ok()?;
    let index = parts.next()?.parse().ok()?;
    let mode = parts.next()?.parse().ok()?;
    if parts.next().is_some() {
        return None;
    }
    Segment::new(job_id, index, total, mode).ok()
}

/// A cut as text.
pub(super) fn cut(total: u32, mode: Mode) -> String {
    format!("{total}#{mode}")
}

/// The cut that [`cut`] wrote.
pub(super) fn parse_cut(text: &str) -> Option<(u32, Mode)> {
    let (total, mode) = text.split_once('#')?;
    Some((total.parse().ok()?, mode.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_spread() {
        let mut used = std::collections::BTreeSet::new();
        for index in 0..100 {
            let job = "job-a_1".parse().unwrap();
            let one = Segment::new(job, index, 100, Mode::Sbs).unwrap();
            assert_eq!(parse_name(&name(&one)), Some(one.clone()));
            used.insert(shard(&one));
        }
        assert_eq!(used.len() as u32, DUE_SHARDS);
        for bad in ["", "a", "a#1#1#sbs", "a#1#0#vr", "a#1#0#sbs#", "a/b#1#0#sbs"] {
            assert_eq!(parse_name(bad), None, "{bad}");
        }
        assert_eq!(parse_cut(&cut(7, Mode::Anaglyph)), Some((7, Mode::Anaglyph)));
        assert_eq!(parse_cut("7"), None);
    }
}
