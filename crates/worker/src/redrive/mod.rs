//! Setting aside undone: dead letters go back to where they came from, and failed jobs go on.
//!
//! A dead letter is copied back before it is deleted, so a crash in between leaves it in both
//! places, and to handle a message twice is a no-op. What would be set aside again at once is
//! refused and stays where it is.

use std::sync::Arc;
use std::time::Duration;

use parallax_job::{
    Buckets, JobId, JobStatus, Notification, ObjectEvent, ObjectKey, ReassemblyMessage, Record,
    Segment, Timestamp, parse_notification, s3_notification,
};
use parallax_ports::ledger::{Ended, SegmentState};
use parallax_ports::{Ledger, Message, ObjectStore, Queue, Result};
use serde::Serialize;

/// How long a dead letter is hidden while all of them are looked at.
const HIDDEN: Duration = Duration::from_secs(300);

/// Where dead letters are and where they came from.
#[derive(Debug, Clone)]
pub struct Desk {
    /// Durable state.
    pub ledger: Arc<dyn Ledger>,
    /// Objects.
    pub objects: Arc<dyn ObjectStore>,
    /// Where objects live.
    pub buckets: Buckets,
    /// Events of `segments/`.
    pub segments: Arc<dyn Queue>,
    /// Events of results.
    pub output_events: Arc<dyn Queue>,
    /// Events of `input/`, where it is known.
    pub chunking: Option<Arc<dyn Queue>>,
    /// Reassembly messages.
    pub reassembly: Arc<dyn Queue>,
    /// What was set aside.
    pub dead_letters: Option<Arc<dyn Queue>>,
}

/// What to set going again.
#[derive(Debug, Clone)]
pub struct Redrive {
    /// Only what belongs to this job; and if it failed, its failed segments.
    pub job: Option<JobId>,
    /// Only dead letters for this queue.
    pub queue: Option<Target>,
    /// The most dead letters that are moved.
    pub limit: usize,
    /// Say what would be done.
    pub dry_run: bool,
}

/// A queue that a dead letter came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Segments to convert.
    Segments,
    /// Results and outcomes.
    OutputEvents,
    /// Sources to cut.
    Chunking,
    /// Jobs to join.
    Reassembly,
}

impl Target {
    /// Every target.
    pub const ALL: [Target; 4] =
        [Target::Segments, Target::OutputEvents, Target::Chunking, Target::Reassembly];

    /// The name, as of the role that receives from it.
    pub fn as_str(self) -> &'static str {
        match self {
            Target::Segments => "segments",
            Target::OutputEvents => "output-events",
            Target::Chunking => "chunking",
            Target::Reassembly => "reassembly",
        }
    }
}

/// What became of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The dead letter or segment.
    pub what: String,
    /// What was done, or would be.
    pub done: Done,
    /// More about it.
    pub why: String,
}

/// What was done, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// Back in its queue.
    Moved,
    /// May be attempted again; its event was sent.
    Reopened,
    /// Makes no sense; left as it is.
    Refused,
}

/// Sets going again what `asked` names. The steps come in the order in which they were done.
///
/// # Errors
/// The ports'. What was done before the error stays done.
pub async fn redrive(desk: &Desk, asked: &Redrive, now: Timestamp) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    if let Some(job_id) = &asked.job {
        desk.reopen(job_id, asked.dry_run, now, &mut steps).await?;
    }
    let Some(dead) = &desk.dead_letters else { return Ok(steps) };
    let mut left = Vec::new();
    let looked = desk.look_through(&**dead, asked, &mut left, &mut steps).await;
    for message in left {
        dead.change_visibility(&message.receipt, Duration::ZERO).await?;
    }
    looked.map(|()| steps)
}

struct Letter {
    target: Target,
    job_id: Option<JobId>,
}

impl Desk {
    async fn reopen(
        &self,
        job_id: &JobId,
        dry_run: bool,
        now: Timestamp,
        steps: &mut Vec<Step>,
    ) -> Result<()> {
        let step = |what: String, done, why: &str| Step { what, done, why: why.to_owned() };
        let refuse = |why: &str| step(format!("job {job_id}"), Done::Refused, why);
        let Some(job) = self.ledger.job(job_id).await? else {
            steps.push(refuse("there is no such job"));
            return Ok(());
        };
        if job.status != JobStatus::Failed {
            if job.status.is_terminal() {
                steps.push(refuse(&format!("it is {}", job.status)));
            }
            return Ok(());
        }
        let rows = self.ledger.segments(job_id).await?;
        let of_this_cut = rows.iter().filter(|row| Some(row.segment.total) == job.total_segments);
        let failed: Vec<_> = of_this_cut.filter(|row| row.state == SegmentState::Failed).collect();
        if failed.is_empty() {
            steps.push(refuse("it failed as a whole and not by a segment: submit it again"));
        }
        for row in failed {
            let what = format!("segment {}", row.segment);
            let input = ObjectKey::Segment(row.segment.clone());
            let Some(meta) = self.objects.head(&row.input).await? else {
                steps.push(step(what, Done::Refused, "its input is not there any more"));
                continue;
            };
            if !dry_run {
                if self.ledger.reopen(&row.segment, now).await? == Ended::Fenced {
                    steps.push(step(what, Done::Refused, "somebody changed it meanwhile"));
                    continue;
                }
                // The sweep would find it as well, later.
                let event = ObjectEvent {
                    bucket: self.buckets.input.name().to_owned(),
                    key: input.to_string(),
                    size: Some(meta.size),
                };
                self.segments.send(&s3_notification(&[event]), &[]).await?;
            }
            let why = row.last_error.as_ref().map_or("", |error| error.message.as_str());
            steps.push(step(what, Done::Reopened, why));
        }
        Ok(())
    }

    /// Looks at every dead letter once. Those that stay are put into `left`, still hidden, so that
    /// none is met twice.
    async fn look_through(
        &self,
        dead: &dyn Queue,
        asked: &Redrive,
        left: &mut Vec<Message>,
        steps: &mut Vec<Step>,
    ) -> Result<()> {
        let mut moved = 0;
        while moved < asked.limit {
            let messages = dead.receive(10, Duration::from_secs(1), HIDDEN).await?;
            if messages.is_empty() {
                break;
            }
            let mut messages = messages.into_iter();
            for message in messages.by_ref() {
                if moved >= asked.limit {
                    left.push(message);
                    continue;
                }
                match self.decide(&message, asked).await {
                    Ok(None) => left.push(message),
                    Ok(Some(Err(why))) => {
                        let what = format!("message {}", message.id);
                        steps.push(Step { what, done: Done::Refused, why });
                        left.push(message);
                    }
                    Ok(Some(Ok(target))) => {
                        moved += 1;
                        if asked.dry_run {
                            steps.push(step_of(&message, target));
                            left.push(message);
                            continue;
                        }
                        let sent = match self.queue(target) {
                            Some(queue) => queue.send(&message.body, &[]).await,
                            None => Ok(()),
                        };
                        if let Err(error) = sent {
                            left.push(message);
                            left.extend(messages);
                            return Err(error);
                        }
                        steps.push(step_of(&message, target));
                        dead.delete(&message.receipt).await?;
                    }
                    Err(error) => {
                        left.push(message);
                        left.extend(messages);
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }

    fn queue(&self, target: Target) -> Option<&Arc<dyn Queue>> {
        match target {
            Target::Segments => Some(&self.segments),
            Target::OutputEvents => Some(&self.output_events),
            Target::Chunking => self.chunking.as_ref(),
            Target::Reassembly => Some(&self.reassembly),
        }
    }

    /// `None` when it was not asked for; otherwise where it goes, or why it may not.
    async fn decide(
        &self,
        message: &Message,
        asked: &Redrive,
    ) -> Result<Option<std::result::Result<Target, String>>> {
        let letter = match self.read(&message.body) {
            Ok(letter) => letter,
            // Whose it is cannot be told, so a filter leaves it out.
            Err(_) if asked.job.is_some() || asked.queue.is_some() => return Ok(None),
            Err(why) => return Ok(Some(Err(why))),
        };
        let other_job = asked.job.is_some() && letter.job_id != asked.job;
        if other_job || asked.queue.is_some_and(|queue| queue != letter.target) {
            return Ok(None);
        }
        if self.queue(letter.target).is_none() {
            return Ok(Some(Err("CHUNKING_QUEUE_URL is not set".to_owned())));
        }
        if let Some(job_id) = &letter.job_id {
            let why = match self.ledger.job(job_id).await?.map(|job| job.status) {
                None => Some("there is no such job".to_owned()),
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
        Ok(Some(Ok(letter.target)))
    }

    /// Where a body belongs, judged by what it says.
    fn read(&self, body: &str) -> std::result::Result<Letter, String> {
        if let Ok(ReassemblyMessage { job_id }) = ReassemblyMessage::parse(body) {
            return Ok(Letter { target: Target::Reassembly, job_id: Some(job_id) });
        }
        let records = match parse_notification(body)? {
            Notification::Records(records) => records,
            Notification::Test => return Err("a test notification: nothing to do".to_owned()),
        };
        let letters = records.iter().map(|record| self.read_record(record));
        let mut letters = letters.collect::<std::result::Result<Vec<_>, _>>()?.into_iter();
        let first = letters.next().ok_or("no records")?;
        if letters.any(|other| other.target != first.target) {
            return Err("its records belong to several queues".to_owned());
        }
        Ok(first)
    }

    fn read_record(&self, record: &Record) -> std::result::Result<Letter, String> {
        let event = match record {
            Record::Created(event) => event,
            Record::Inference(_) => {
                return Ok(Letter { target: Target::OutputEvents, job_id: None });
            }
            Record::Foreign(name) => return Err(format!("{name}: nothing to do")),
            Record::Malformed(why) => return Err(why.clone()),
        };
        let key: ObjectKey =
            event.key.parse().map_err(|error: parallax_job::KeyError| error.to_string())?;
        let (input, output) = (self.buckets.input.name(), self.buckets.output.name());
        let (bucket, target, job_id) = match key {
            ObjectKey::Segment(Segment { job_id, .. }) => (input, Target::Segments, Some(job_id)),
            ObjectKey::Source(job_id) => (input, Target::Chunking, Some(job_id)),
            ObjectKey::Result { job_id, .. } => (output, Target::OutputEvents, Some(job_id)),
            ObjectKey::AsyncResponse(_) | ObjectKey::AsyncFailure(_) => {
                (output, Target::OutputEvents, None)
            }
            ObjectKey::Final(job_id) => (output, Target::OutputEvents, Some(job_id)),
            _ => return Err(format!("{}: nothing waits for it", event.key)),
        };
        if event.bucket != bucket {
            return Err(format!("bucket {:?}: expected {bucket:?}", event.bucket));
        }
        Ok(Letter { target, job_id })
    }
}

fn step_of(message: &Message, target: Target) -> Step {
    Step {
        what: format!("message {}", message.id),
        done: Done::Moved,
        why: format!("to {}", target.as_str()),
    }
}
