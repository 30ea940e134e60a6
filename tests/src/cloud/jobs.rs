//! Jobs as the parts before and after the daemon make and finish them.

use parallax_job::{
    JobId, JobStatus, Mode, ObjectKey, ReassemblyMessage, Segment, SegmentCompletion,
};
use parallax_ports::ledger::{Advance, Job, Lock};
use parallax_ports::{Clock, Ids, Ledger, ObjectStore, Queue, SystemClock};

use super::Cloud;

/// A job that was cut into segments.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    /// The job.
    pub job_id: JobId,
    /// Its mode.
    pub mode: Mode,
    /// Segments.
    pub total: u32,
    /// Whether the container refuses every segment.
    pub unreadable: bool,
}

/// When a chunker records that it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The total first, then the segments, then that they are all there.
    TotalFirst,
    /// Everything after the segments, as the deployed chunker does: results may come back before.
    SegmentsFirst,
}

/// What a segment holds.
pub fn content(cut: &Cut, index: u32) -> Vec<u8> {
    let kind = if cut.unreadable { "unreadable" } else { "segment" };
    format!("{kind} {index} of {} in {}", cut.total, cut.job_id).into_bytes()
}

impl Cloud {
    /// Makes a job whose segments are all there, without writing one.
    pub async fn open(&self, cut: &Cut) {
        let Cut { job_id, mode, total, .. } = cut;
        let job = Job::new(job_id.clone(), *mode, SystemClock.now());
        assert!(self.ledger.create_job(&job).await.unwrap(), "{job_id} is new");
        self.advance(job_id, JobStatus::ChunkingInProgress, Some(*total)).await;
        self.advance(job_id, JobStatus::ChunkingComplete, Some(*total)).await;
    }

    /// Makes a job and writes its segments, whose events the bucket sends.
    pub async fn submit(&self, cut: &Cut, order: Order) {
        let Cut { job_id, mode, total, .. } = cut;
        let now = SystemClock.now();
        let job = Job::new(job_id.clone(), *mode, now);
        assert!(self.ledger.create_job(&job).await.unwrap(), "{job_id} is new");
        let known = (order == Order::TotalFirst).then_some(*total);
        self.advance(job_id, JobStatus::ChunkingInProgress, known).await;
        for index in 0..*total {
            let segment = Segment::new(job_id.clone(), index, *total, *mode).unwrap();
            let uri = self.buckets.input.uri(&ObjectKey::Segment(segment)).unwrap();
            self.objects.write(&uri, &content(cut, index)).await.unwrap();
        }
        self.advance(job_id, JobStatus::ChunkingComplete, Some(*total)).await;
    }

    async fn advance(&self, job_id: &JobId, to: JobStatus, total: Option<u32>) {
        let now = SystemClock.now();
        match self.ledger.advance(job_id, to, total, None, now).await.unwrap() {
            Advance::Moved | Advance::Already => {}
            // Every segment of a doomed job may have failed by now.
            Advance::Refused(JobStatus::Failed) => {}
            other => panic!("{job_id} to {to}: {other:?}"),
        }
    }

    /// A job's row.
    pub async fn job(&self, job_id: &JobId) -> Job {
        self.ledger.job(job_id).await.unwrap().unwrap()
    }

    /// A job's completions.
    pub async fn completions(&self, cut: &Cut) -> Vec<SegmentCompletion> {
        self.ledger.completions(&cut.job_id, cut.total).await.unwrap()
    }

    /// Plays the reassembler for every message there is: the right to reassemble is asked for, and
    /// whoever gets it writes the final object, whose event completes the job. Answers the jobs of
    /// all messages, and of those that were not suppressed.
    pub async fn reassemble(&self) -> (Vec<JobId>, Vec<JobId>) {
        let (ids, mut told, mut done) = (Ids::random(), Vec::new(), Vec::new());
        for message in self.take_all(&self.queues.reassembly.queue).await {
            let ReassemblyMessage { job_id } = ReassemblyMessage::parse(&message.body).unwrap();
            told.push(job_id.clone());
            // Under an earlier message's name a copy of it would be given the right again.
            let nonce = ids.next();
            let now = SystemClock.now();
            let until = now + std::time::Duration::from_secs(3600);
            match self.ledger.lock_reassembly(&job_id, &nonce, until, now).await.unwrap() {
                Lock::Acquired(total) => {
                    let mut all = Vec::new();
                    for index in 0..total {
                        let key = ObjectKey::Result { job_id: job_id.clone(), index };
                        let uri = self.buckets.output.uri(&key).unwrap();
                        all.extend(self.objects.read(&uri, 1 << 20).await.unwrap());
                    }
                    let key = ObjectKey::Final(job_id.clone());
                    self.objects
                        .write(&self.buckets.output.uri(&key).unwrap(), &all)
                        .await
                        .unwrap();
                    done.push(job_id);
                }
                Lock::Held(_) | Lock::Over(_) => {}
                Lock::NotTriggered => panic!("{job_id}: a message without its trigger"),
            }
        }
        (told, done)
    }

    /// Delivers a job's reassembly message once more, as a queue may.
    pub async fn repeat_reassembly(&self, job_id: &JobId) {
        let body = ReassemblyMessage { job_id: job_id.clone() }.body();
        self.queue(&self.queues.reassembly.queue).send(&body, &[]).await.unwrap();
    }
}
