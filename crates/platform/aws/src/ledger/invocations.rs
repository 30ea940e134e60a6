//! Items in the table of inference invocations: segment rows, holders, and the aliases by which
//! deployed parts find an invocation from where its outcome was written.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use parallax_job::{Mode, Segment, Timestamp, Uri};
use parallax_ports::ledger::{AttemptError, Holder, HolderId, SegmentRow, SegmentState, Work};
use parallax_ports::{Custody, Locations, Result};

use super::item::{Attributes, Item, n, s};
use super::keys;

/// The table's key.
pub(super) const KEY: &str = "output_location";
/// The map of holders in a pool's item.
pub(super) const HOLDERS: &str = "holders";
/// The set of cuts in a job's item.
pub(super) const CUTS: &str = "cuts";
/// Counts the writes of an item; what conditions compare.
pub(super) const VERSION: &str = "version";
/// When DynamoDB may remove an item.
pub(super) const TTL: &str = "ttl";

/// How long a row is kept once nothing will happen to it.
pub(super) const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// When something that is over at `at` may be removed, in unix seconds.
pub(super) fn expiry(at: Timestamp) -> AttributeValue {
    n((at + KEPT).unix_seconds())
}

fn optional<T: ToString>(item: &mut Item, name: &str, value: Option<T>) {
    if let Some(value) = value {
        item.insert(name.to_owned(), s(value));
    }
}

fn custody_name(custody: Custody) -> &'static str {
    match custody {
        Custody::Caller => "caller",
        Custody::Backend => "backend",
    }
}

/// A row as an item.
pub(super) fn from_row(row: &SegmentRow, version: u64) -> Item {
    let Segment { job_id, total, index, mode } = &row.segment;
    let mut item = Item::from(
        [
            (KEY, s(keys::segment(&row.segment))),
            (VERSION, n(version)),
            ("job_id", s(job_id)),
            ("segment_index", n(index)),
            ("total_segments", n(total)),
            ("mode", s(mode)),
            ("state", s(row.state.as_str())),
            ("attempt", n(row.attempt)),
            ("failures", n(row.failures)),
            ("refusals", n(row.refusals)),
            ("nonce", s(&row.nonce)),
            ("custody", s(custody_name(row.custody))),
            ("input_uri", s(&row.input)),
            ("output_s3_uri", s(&row.output)),
            ("created_at_ms", n(row.created_at.0)),
            ("deadline_ms", n(row.deadline.0)),
            ("next_at_ms", n(row.next_at.0)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    if let Some(lease) = row.lease {
        item.insert("lease_ms".to_owned(), n(lease.0));
    }
    optional(&mut item, "holder", row.holder.as_ref());
    optional(&mut item, "response_location", row.locations.response.as_ref());
    optional(&mut item, "failure_location", row.locations.failure.as_ref());
    if let Some(error) = &row.last_error {
        optional(&mut item, "error_class", Some(&error.class));
        optional(&mut item, "error_message", Some(&error.message));
    }
    if !row.begun.is_empty() {
        // For people alone: no condition and no other program looks into it. Numbers and names always fit.
        let text = serde_json::to_string(&row.begun).unwrap_or_default();
        item.insert("begun".to_owned(), s(text));
    }
    if row.state.is_terminal() && row.holder.is_none() {
        let last = row.created_at.max(row.deadline).max(row.next_at);
        item.insert(TTL.to_owned(), expiry(last));
    }
    item
}

/// A row and its version from an item.
pub(super) fn to_row(segment: &Segment, item: &Item) -> Result<(SegmentRow, u64)> {
    let what = format!("row of segment {segment}");
    let read = Attributes { item, what: &what };
    let state = |text: &str| SegmentState::ALL.into_iter().find(|state| state.as_str() == text);
    let custody = |text: &str| match text {
        "caller" => Some(Custody::Caller),
        "backend" => Some(Custody::Backend),
        _ => None,
    };
    let time = |name| read.need(name, read.number(name)).map(Timestamp);
    let version = read.number(VERSION).and_then(|v| u64::try_from(v).ok());
    let error = read.text("error_class").zip(read.text("error_message"));
    let row = SegmentRow {
        segment: segment.clone(),
        state: read.need("state", read.text("state").and_then(state))?,
        attempt: read.need("attempt", read.small("attempt"))?,
        failures: read.need("failures", read.small("failures"))?,
        refusals: read.small("refusals").unwrap_or(0),
        nonce: read.need("nonce", read.text("nonce"))?.to_owned(),
        holder: read.text("holder").map(|id| HolderId(id.to_owned())),
        custody: read.need("custody", read.text("custody").and_then(custody))?,
        input: read.need("input_uri", read.parsed("input_uri"))?,
        output: read.need("output_s3_uri", read.parsed("output_s3_uri"))?,
        created_at: time("created_at_ms")?,
        deadline: time("deadline_ms")?,
        lease: read.number("lease_ms").map(Timestamp),
        next_at: time("next_at_ms")?,
        locations: Locations {
            response: read.parsed("response_location"),
            failure: read.parsed("failure_location"),
        },
        last_error: error.map(|(class, message)| AttemptError {
            class: class.to_owned(),
            message: message.to_owned(),
        }),
        begun: read
            .text("begun")
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default(),
    };
    Ok((row, read.need(VERSION, version)?))
}

/// A holder as it stands in the map.
pub(super) fn from_holder(holder: &Holder) -> AttributeValue {
    let mut map = Item::from([("deadline_ms".to_owned(), n(holder.deadline.0))]);
    if let Some(work) = &holder.work {
        map.insert("segment".to_owned(), s(keys::name(&work.segment)));
        map.insert("attempt".to_owned(), n(work.attempt));
    }
    AttributeValue::M(map)
}

/// The holders of a pool's item.
pub(super) fn to_holders(item: &Item) -> Result<Vec<Holder>> {
    let Some(AttributeValue::M(map)) = item.get(HOLDERS) else { return Ok(Vec::new()) };
    let mut holders = Vec::with_capacity(map.len());
    for (id, value) in map {
        let what = format!("permit {id}");
        let empty = Item::new();
        let item = value.as_m().unwrap_or(&empty);
        let read = Attributes { item, what: &what };
        let work = match read.text("segment") {
            None => None,
            Some(text) => Some(Work {
                segment: read.need("segment", keys::parse_name(text))?,
                attempt: read.need("attempt", read.small("attempt"))?,
            }),
        };
        let deadline = Timestamp(read.need("deadline_ms", read.number("deadline_ms"))?);
        holders.push(Holder { id: HolderId(id.clone()), deadline, work });
    }
    Ok(holders)
}

/// The item by which an outcome at `location` is recognised, shaped as deployed parts read it.
pub(super) fn alias(location: &Uri, row: &SegmentRow) -> Item {
    let Segment { job_id, total, index, mode } = &row.segment;
    Item::from(
        [
            (KEY, s(location)),
            ("job_id", s(job_id)),
            ("segment_index", n(index)),
            ("total_segments", n(total)),
            ("output_s3_uri", s(&row.output)),
            ("created_at", n(row.created_at.unix_seconds())),
            ("mode", s(mode)),
            // Long after the attempt that it names can have an outcome.
            (TTL, expiry(row.deadline)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    )
}

/// The segment that an alias names; `mode` is for records that were written without one.
pub(super) fn to_segment(item: &Item, mode: Option<Mode>) -> Result<Segment> {
    let read = Attributes { item, what: "record of an invocation" };
    let mode = read.parsed("mode").or(mode).unwrap_or_default();
    let index = read.need("segment_index", read.small("segment_index"))?;
    let total = read.need("total_segments", read.small("total_segments"))?;
    let job_id = read.need("job_id", read.parsed("job_id"))?;
    let segment = Segment::new(job_id, index, total, mode).ok();
    read.need("segment_index", segment)
}
