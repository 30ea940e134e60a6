//! Who holds a permit, and for how long.

use futures::future::try_join_all;
use parallax_job::Timestamp;
use parallax_ports::Result;
use parallax_ports::ledger::{Holder, SegmentRow};
use serde::Serialize;

use crate::source::Source;

/// All permits of the pool that the console knows.
#[derive(Debug, Serialize)]
pub(crate) struct Permits {
    /// Whose they are.
    pub(crate) pool: String,
    pub(crate) max_in_flight: u32,
    /// Those held the longest first.
    pub(crate) permits: Vec<Permit>,
}

/// A held permit.
#[derive(Debug, Serialize)]
pub(crate) struct Permit {
    pub(crate) holder: String,
    /// The segment that it is held for; without one it is reserved.
    pub(crate) job_id: Option<String>,
    pub(crate) segment: Option<u32>,
    pub(crate) attempt: Option<u32>,
    /// The state of the segment's row; `None` when there is none.
    pub(crate) state: Option<&'static str>,
    /// Since when, as far as that is known.
    pub(crate) since: Option<Timestamp>,
    /// When it ends unless somebody says otherwise.
    pub(crate) until: Timestamp,
    /// Whether that is past.
    pub(crate) is_overdue: bool,
}

pub(crate) async fn permits(source: &Source) -> Result<Permits> {
    let operator = &source.deployment.operator;
    let now = source.deployment.clock.now();
    let holders = operator.ledger.holders().await?;
    // At most as many as attempts may be in flight.
    let rows = holders.iter().map(|holder| async {
        match &holder.work {
            Some(work) => operator.ledger.segment(&work.segment).await,
            None => Ok(None),
        }
    });
    let rows = try_join_all(rows).await?;
    let mut permits: Vec<Permit> =
        holders.iter().zip(rows).map(|(h, row)| permit(h, row, now)).collect();
    // Reservations, of which nobody says since when, come last.
    permits.sort_by_key(|permit| (permit.since.is_none(), permit.since, permit.holder.clone()));
    Ok(Permits {
        pool: operator.pool.clone(),
        max_in_flight: source.settings.max_in_flight,
        permits,
    })
}

fn permit(holder: &Holder, row: Option<SegmentRow>, now: Timestamp) -> Permit {
    let work = holder.work.as_ref();
    let row = row.filter(|row| row.holder.as_ref() == Some(&holder.id));
    let since = row.as_ref().and_then(|row| {
        let begun = row.begun.iter().find(|begun| begun.attempt == row.attempt);
        // A row of an earlier release says only when its first attempt began.
        begun.map(|begun| begun.at).or((row.attempt == 1).then_some(row.created_at))
    });
    let until = row.as_ref().map_or(holder.deadline, |row| row.deadline);
    Permit {
        holder: holder.id.to_string(),
        job_id: work.map(|work| work.segment.job_id.to_string()),
        segment: work.map(|work| work.segment.index),
        attempt: work.map(|work| work.attempt),
        state: row.as_ref().map(|row| row.state.as_str()),
        since,
        until,
        is_overdue: until <= now,
    }
}
