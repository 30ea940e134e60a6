//! What a process does about its dead predecessor when it knows that it is alone.

use parallax_job::{JobStatus, Segment, Timestamp};
use parallax_ports::ledger::rules::{self, Change};
use parallax_ports::ledger::{AttemptError, Cost, Job, SegmentRow, SegmentState};
use parallax_ports::{Custody, Error, Kind, Result};

use super::SqliteLedger;
use crate::StateDir;
use crate::database::Durability;

/// What [`SqliteLedger::recover_sole_owner`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// Segments whose attempt ended with the process that made it: they may start again now.
    pub segments: usize,
    /// Permits that were given back.
    pub holders: usize,
    /// Reassemblies that nobody is at any more.
    pub reassemblies: usize,
}

impl SqliteLedger {
    /// Ends everything that ended with the previous process, without waiting for deadlines: open
    /// attempts under the caller's custody wait for a retry that is due now and does not count as
    /// a failure, every permit is given back that is not held for a backend, and so is the right
    /// to reassemble. Attempts in a backend's custody go on elsewhere; they and their permits
    /// stay.
    ///
    /// # Errors
    /// `Rejected` when `sole` is not held exclusively: another process may be at work.
    pub async fn recover_sole_owner(&self, sole: &StateDir, now: Timestamp) -> Result<Recovered> {
        alone(sole)?;
        let why = AttemptError::new("interrupted", "the process that ran the attempt has ended");
        self.commit(Durability::Ordered, move |rows| {
            let before = rows.holders()?;
            let mut segments = 0;
            for row in rows.open_segments()? {
                if row.custody == Custody::Caller {
                    let (_, change) =
                        rules::retry(Some(&row), &row.fence(), now, &why, Cost::Attempt);
                    rows.apply(change)?;
                    segments += 1;
                }
            }
            // What is still held for a backend's attempt, open or done, stays.
            let mut remove_holders = Vec::new();
            for holder in before {
                let row = match &holder.work {
                    Some(work) => rows.segment(&work.segment)?,
                    None => None,
                };
                let row = row.filter(|row| row.holder.as_ref() == Some(&holder.id));
                if row.as_ref().is_some_and(|row| row.custody == Custody::Backend) {
                    continue;
                }
                if let Some(row) = row {
                    rows.apply(rules::release(Some(&row), &row.fence()).1)?;
                }
                remove_holders.push(holder.id);
            }
            let mut reassemblies = 0;
            for row in rows.triggers()? {
                if let Some(nonce) = &row.lock_nonce {
                    rows.apply(rules::unlock_reassembly(Some(&row), nonce))?;
                    reassemblies += 1;
                }
            }
            let recovered = Recovered { segments, holders: remove_holders.len(), reassemblies };
            Ok((recovered, Change { remove_holders, ..Change::default() }))
        })
        .await
    }

    /// Takes back that `segment` is complete, because its result is lost: it may start again now, with
    /// as many failures and attempts to use up as a new one. Its job goes back to before its
    /// reassembly, and whatever was joined of the lost result counts no more. Whether there was
    /// anything to take back.
    ///
    /// # Errors
    /// `Rejected` when `sole` is not held exclusively: somebody may be joining the results.
    pub async fn redo_as_sole_owner(
        &self,
        sole: &StateDir,
        segment: &Segment,
        now: Timestamp,
    ) -> Result<bool> {
        alone(sole)?;
        let segment = segment.clone();
        self.commit(Durability::Ordered, move |rows| {
            let row = rows.segment(&segment)?.filter(|row| row.state == SegmentState::Done);
            let Some(row) = row else { return Ok((false, Change::default())) };
            rows.forget_completion(&segment)?;
            rows.forget_trigger(&segment.job_id)?;
            let joined = [JobStatus::Reassembling, JobStatus::Completed];
            let job = rows.job(&segment.job_id)?.filter(|job| joined.contains(&job.status));
            let job = job.map(|job| Job {
                status: JobStatus::ChunkingComplete,
                completed_at: None,
                ..job
            });
            let row = SegmentRow {
                state: SegmentState::RetryWait,
                failures: 0,
                // What was tried before counts no more, but the number of the next attempt goes on.
                refusals: row.attempt,
                next_at: now,
                ..row
            };
            Ok((true, Change { segment: Some(row), job, ..Change::default() }))
        })
        .await
    }
}

/// Refuses a state folder that other processes may use.
fn alone(sole: &StateDir) -> Result<()> {
    if sole.is_exclusive() {
        return Ok(());
    }
    let text = format!("{} is shared: nothing is taken over", sole.path().display());
    Err(Error::new(Kind::Rejected, text))
}
