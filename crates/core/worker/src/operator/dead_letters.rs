//! Dead letters: where each belongs, and back there.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::join_all;
use parallax_job::{
    JobId, JobStatus, KeyError, Notification, ObjectKey, ReassemblyMessage, Record, Segment,
    parse_notification,
};
use parallax_ports::{Message, Queue, Result};

use super::handle::Operator;
use super::step::{Done, Step};
use crate::Role;
use crate::delays::{LETTER_HIDDEN, LETTER_WAIT};

/// Calls that are made at once.
pub(super) const AT_ONCE: usize = 10;

/// The dead letters of a deployment, and which of them are asked for.
pub(super) struct DeadLetters<'a> {
    pub(super) operator: &'a Operator,
    pub(super) dead: &'a dyn Queue,
    /// Only what belongs to this job.
    pub(super) job: Option<&'a JobId>,
    /// Only what is for this role's queue.
    pub(super) queue: Option<Role>,
    /// Nothing is moved.
    pub(super) dry_run: bool,
    /// The job was failed and goes on.
    pub(super) goes_on: bool,
}

/// What a dead letter asks for.
struct DeadLetter {
    role: Role,
    job_id: Option<JobId>,
}

/// What is to become of a dead letter.
enum Disposition {
    Left,
    /// It would be moved if this were not a dry run.
    Planned,
    /// It is back in its queue and to be deleted here.
    Copied,
}

impl DeadLetters<'_> {
    /// Looks at every dead letter once and answers how many were moved. Those that stay are put into `left`, still hidden, so that
    /// few are met twice; one that shows again all the same ends nothing and is not looked at.
    pub(super) async fn look_through(
        &self,
        limit: usize,
        left: &mut Vec<Message>,
        tell: &mut (dyn FnMut(Step) + Send),
    ) -> Result<usize> {
        let mut seen = BTreeSet::new();
        let mut moved = 0;
        while moved < limit {
            let messages = self.dead.receive(AT_ONCE, LETTER_WAIT, LETTER_HIDDEN).await?;
            let (new, known): (Vec<_>, Vec<_>) =
                messages.into_iter().partition(|message| seen.insert(message.id.clone()));
            left.extend(known);
            if new.is_empty() {
                break;
            }
            let mut copied = Vec::new();
            let mut first_error = None;
            for message in new {
                let disposition = match moved < limit && first_error.is_none() {
                    true => self.look_at(&message, tell).await,
                    false => Ok(Disposition::Left),
                };
                moved += usize::from(!matches!(disposition, Ok(Disposition::Left) | Err(_)));
                match disposition {
                    Ok(Disposition::Copied) => copied.push(message),
                    Ok(Disposition::Left | Disposition::Planned) => left.push(message),
                    Err(error) => {
                        left.push(message);
                        first_error = Some(error);
                    }
                }
            }
            // At once, because a queue may let a delete wait for others to travel with.
            let deletes = copied.iter().map(|message| self.dead.delete(&message.receipt));
            for (message, deleted) in copied.iter().zip(join_all(deletes).await) {
                if let Err(error) = deleted {
                    let why = format!("is in its queue and still here: {}", error.chain());
                    tell(Step::of_message(&message.id, Done::Unsettled, why));
                    first_error.get_or_insert(error);
                }
            }
            if let Some(error) = first_error {
                return Err(error);
            }
        }
        Ok(moved)
    }

    async fn look_at(
        &self,
        message: &Message,
        tell: &mut (dyn FnMut(Step) + Send),
    ) -> Result<Disposition> {
        let (role, queue) = match self.decide(message).await? {
            None => return Ok(Disposition::Left),
            Some(Err(why)) => {
                tell(Step::of_message(&message.id, Done::Refused, why));
                return Ok(Disposition::Left);
            }
            Some(Ok(found)) => found,
        };
        if !self.dry_run {
            queue.send(&message.body, &[]).await?;
        }
        let why = format!("to {}", role.as_str());
        tell(Step::of_message(&message.id, Done::Moved, why));
        Ok(if self.dry_run { Disposition::Planned } else { Disposition::Copied })
    }

    fn queue_of(&self, role: Role) -> Option<&Arc<dyn Queue>> {
        match role {
            Role::Segments => Some(&self.operator.segments),
            Role::OutputEvents => Some(&self.operator.output_events),
            Role::Chunking => self.operator.chunking.as_ref(),
            Role::Reassembly => Some(&self.operator.reassembly),
            Role::Reconcile => None,
        }
    }

    /// `None` when it was not asked for; otherwise where it goes, or why it may not.
    async fn decide(
        &self,
        message: &Message,
    ) -> Result<Option<std::result::Result<(Role, &Arc<dyn Queue>), String>>> {
        let DeadLetter { role, job_id } = match self.read(&message.body) {
            Ok(letter) => letter,
            // Whose it is cannot be told, so a filter leaves it out.
            Err(_) if self.job.is_some() || self.queue.is_some() => return Ok(None),
            Err(why) => return Ok(Some(Err(why))),
        };
        let other_job = self.job.is_some() && job_id.as_ref() != self.job;
        if other_job || self.queue.is_some_and(|queue| queue != role) {
            return Ok(None);
        }
        let Some(queue) = self.queue_of(role) else {
            return Ok(Some(Err("CHUNKING_QUEUE_URL is not set".to_owned())));
        };
        if let Some(job_id) = &job_id {
            let why = match self.operator.ledger.job(job_id).await?.map(|job| job.status) {
                None => Some("there is no such job".to_owned()),
                // In a dry run it has not been reopened yet.
                Some(JobStatus::Failed) if self.goes_on => None,
                Some(JobStatus::Failed) if self.job.is_some() => {
                    Some(format!("job {job_id} failed and does not go on"))
                }
                Some(JobStatus::Failed) => {
                    Some(format!("job {job_id} failed: name it with --job to let it go on"))
                }
                Some(status) if status.is_terminal() => Some(format!("job {job_id} is {status}")),
                Some(_) => None,
            };
            if let Some(why) = why {
                return Ok(Some(Err(why)));
            }
        }
        Ok(Some(Ok((role, queue))))
    }

    /// Where a body belongs, judged by what it says.
    fn read(&self, body: &str) -> std::result::Result<DeadLetter, String> {
        if let Ok(ReassemblyMessage { job_id }) = ReassemblyMessage::parse(body) {
            return Ok(DeadLetter { role: Role::Reassembly, job_id: Some(job_id) });
        }
        let records = match parse_notification(body)? {
            Notification::Records(records) => records,
            Notification::Test => return Err("a test notification: nothing to do".to_owned()),
        };
        // What else happened to the bucket hides no object that was written.
        let written = records.iter().filter(|record| !matches!(record, Record::Foreign(_)));
        let letters = written.map(|record| self.read_record(record));
        let mut letters = letters.collect::<std::result::Result<Vec<_>, _>>()?.into_iter();
        let first =
            letters.next().ok_or("it tells of no object that was written: nothing to do")?;
        if letters.any(|other| other.role != first.role) {
            return Err("its records belong to several queues".to_owned());
        }
        Ok(first)
    }

    fn read_record(&self, record: &Record) -> std::result::Result<DeadLetter, String> {
        let event = match record {
            Record::Created(event) => event,
            Record::Inference(_) => {
                return Ok(DeadLetter { role: Role::OutputEvents, job_id: None });
            }
            Record::Foreign(name) => return Err(format!("{name}: nothing to do")),
            Record::Malformed(why) => return Err(why.clone()),
        };
        let key: ObjectKey = event.key.parse().map_err(|error: KeyError| error.to_string())?;
        let (input, output) =
            (self.operator.buckets.input.name(), self.operator.buckets.output.name());
        let (bucket, role, job_id) = match key {
            ObjectKey::Segment(Segment { job_id, .. }) => (input, Role::Segments, Some(job_id)),
            ObjectKey::Source(job_id) => (input, Role::Chunking, Some(job_id)),
            ObjectKey::Result { job_id, .. } => (output, Role::OutputEvents, Some(job_id)),
            ObjectKey::AsyncResponse(_) | ObjectKey::AsyncFailure(_) => {
                (output, Role::OutputEvents, None)
            }
            ObjectKey::Final(job_id) => (output, Role::OutputEvents, Some(job_id)),
            _ => return Err(format!("{}: nothing waits for it", event.key)),
        };
        if event.bucket != bucket {
            return Err(format!("bucket {:?}: expected {bucket:?}", event.bucket));
        }
        Ok(DeadLetter { role, job_id })
    }
}
