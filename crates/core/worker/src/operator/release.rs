//! Ending an attempt because an operator says that nothing runs any more.

use parallax_job::{JobId, Segment, Timestamp};
use parallax_ports::ledger::{AttemptError, Cost, Ended, SegmentRow, SegmentState};
use parallax_ports::{Error, Kind, Result};
use serde::Serialize;

use super::handle::Operator;

/// Which permit is to be freed, and why.
#[derive(Debug, Clone)]
pub struct Release {
    /// The job.
    pub job: JobId,
    /// The segment's index.
    pub segment: u32,
    /// What the operator knows.
    pub because: String,
}

/// An attempt that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Released {
    /// The segment.
    pub segment: Segment,
    /// The attempt.
    pub attempt: u32,
    /// Whether its permit was freed by this.
    pub released: bool,
    /// What was found or done.
    pub why: String,
}

/// Ends every open attempt at a segment, and gives a permit back that a completed one keeps. The
/// reason is written to the row as its last error. Whoever still runs an attempt finds that it is
/// over.
///
/// # Errors
/// `Rejected` when the permit is not of the operator's pool; otherwise the ledger's.
pub async fn release(
    operator: &Operator,
    asked: &Release,
    now: Timestamp,
) -> Result<Vec<Released>> {
    let mut all = Vec::new();
    for row in operator.ledger.segments_at(&asked.job, asked.segment).await? {
        all.push(release_row(operator, &row, &asked.because, now).await?);
    }
    Ok(all)
}

/// Why none of these rows' attempts may be ended here: the permit of one is not among those that are known.
/// To end it would leave the permit held in its own pool, by nobody and for ever.
pub(super) async fn of_another_pool(
    operator: &Operator,
    rows: &[SegmentRow],
) -> Result<Option<String>> {
    let Operator { ledger, pool, .. } = operator;
    let held: Vec<_> =
        rows.iter().filter_map(|row| Some((&row.segment, row.holder.as_ref()?))).collect();
    if held.is_empty() {
        return Ok(None);
    }
    let known = ledger.holders().await?;
    for (segment, id) in held.into_iter().filter(|(_, id)| known.iter().all(|h| h.id != **id)) {
        // It may have been given back since the row was read.
        let row = ledger.segment(segment).await?;
        if row.is_some_and(|row| row.holder.as_ref() == Some(id)) {
            return Ok(Some(format!(
                "segment {}: its permit {id} is not among those of {pool}: say which pool it is of, or it \
                 would be held for ever",
                segment.index
            )));
        }
    }
    Ok(None)
}

pub(super) async fn release_row(
    operator: &Operator,
    row: &SegmentRow,
    because: &str,
    now: Timestamp,
) -> Result<Released> {
    if let Some(why) = of_another_pool(operator, std::slice::from_ref(row)).await? {
        return Err(Error::new(Kind::Rejected, why));
    }
    let (fence, state) = (row.fence(), row.state.as_str());
    let done = match row.state {
        SegmentState::Intent | SegmentState::Invoked => {
            let text = format!("released by an operator: {because}");
            let reason = AttemptError::new("released", &text);
            let ended = operator.ledger.retry(&fence, now, &reason, Cost::Nothing).await?;
            Some((ended, format!("was {state}; another attempt may start")))
        }
        SegmentState::Done if row.holder.is_some() => {
            let ended = operator.ledger.release(&fence).await?;
            Some((ended, "was completed and kept its permit".to_owned()))
        }
        _ => None,
    };
    let (released, why) = match done {
        Some((Ended::Yes, why)) => (true, why),
        Some((Ended::Fenced, _)) => (false, "it ended by itself meanwhile".to_owned()),
        None => (false, format!("it is {state} and holds no permit")),
    };
    Ok(Released { segment: row.segment.clone(), attempt: row.attempt, released, why })
}
