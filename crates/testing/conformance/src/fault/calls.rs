//! The wrappers: every call of a port, passed through a process's faults.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use parallax_job::{JobId, JobStatus, Segment, SegmentCompletion, Timestamp, Uri};

use super::Faults;
use parallax_ports::ledger::{
    Advance, AttemptError, Completed, Cost, Cursor, Ended, Fence, Holder, HolderId, Intent,
    IntentOutcome, Job, Lock, Resend, Reserve, SegmentRow, SomeJobs, TriggerOutcome,
};
use parallax_ports::{
    Ledger, Locations, Message, ObjectMeta, ObjectStore, OperatorLedger, Place, Queue, Receipt,
    Result,
};

/// A port seen by a process whose calls go wrong.
#[derive(Debug, Clone)]
pub struct Faulty<P: ?Sized> {
    faults: Arc<Faults>,
    inner: Arc<P>,
}

impl<P: ?Sized> Faulty<P> {
    /// `inner` as seen through `faults`.
    pub fn new(inner: Arc<P>, faults: Arc<Faults>) -> Self {
        Self { faults, inner }
    }
}

#[async_trait]
impl<Q: Queue + ?Sized + 'static> Queue for Faulty<Q> {
    async fn receive(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Message>> {
        let call = self.inner.receive(max, wait, visibility);
        self.faults.around("queue.receive", call).await
    }

    async fn delete(&self, receipt: &Receipt) -> Result<()> {
        let later = || {
            let (inner, receipt) = (self.inner.clone(), receipt.clone());
            async move { drop(inner.delete(&receipt).await) }.boxed()
        };
        self.faults.effect("queue.delete", self.inner.delete(receipt), later).await
    }

    async fn change_visibility(&self, receipt: &Receipt, visibility: Duration) -> Result<()> {
        let later = || {
            let (inner, receipt) = (self.inner.clone(), receipt.clone());
            async move { drop(inner.change_visibility(&receipt, visibility).await) }.boxed()
        };
        let call = self.inner.change_visibility(receipt, visibility);
        self.faults.effect("queue.change_visibility", call, later).await
    }

    async fn send(&self, body: &str, attributes: &[(&str, &str)]) -> Result<()> {
        let later = || {
            let (inner, body) = (self.inner.clone(), body.to_owned());
            let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
            let attributes: Vec<_> = attributes.iter().map(own).collect();
            async move {
                let lent: Vec<_> = attributes.iter().map(|(k, v)| (&**k, &**v)).collect();
                drop(inner.send(&body, &lent).await);
            }
            .boxed()
        };
        self.faults.effect("queue.send", self.inner.send(body, attributes), later).await
    }
}

#[async_trait]
impl<O: ObjectStore + ?Sized + 'static> ObjectStore for Faulty<O> {
    async fn head(&self, uri: &Uri) -> Result<Option<ObjectMeta>> {
        self.faults.around("objects.head", self.inner.head(uri)).await
    }

    async fn read(&self, uri: &Uri, limit: u64) -> Result<Vec<u8>> {
        self.faults.around("objects.read", self.inner.read(uri, limit)).await
    }

    async fn write(&self, uri: &Uri, bytes: &[u8]) -> Result<()> {
        let later = || {
            let (inner, uri, bytes) = (self.inner.clone(), uri.clone(), bytes.to_owned());
            async move { drop(inner.write(&uri, &bytes).await) }.boxed()
        };
        self.faults.effect("objects.write", self.inner.write(uri, bytes), later).await
    }

    async fn write_noted(&self, uri: &Uri, bytes: &[u8], note: &str) -> Result<()> {
        let later = || {
            let (inner, uri) = (self.inner.clone(), uri.clone());
            let (bytes, note) = (bytes.to_owned(), note.to_owned());
            async move { drop(inner.write_noted(&uri, &bytes, &note).await) }.boxed()
        };
        let call = self.inner.write_noted(uri, bytes, note);
        self.faults.effect("objects.write_noted", call, later).await
    }

    async fn note(&self, uri: &Uri) -> Result<Option<String>> {
        self.faults.around("objects.note", self.inner.note(uri)).await
    }

    async fn download(&self, uri: &Uri, to: &Path) -> Result<()> {
        self.faults.around("objects.download", self.inner.download(uri, to)).await
    }

    async fn upload(&self, from: &Path, uri: &Uri) -> Result<()> {
        self.faults.around("objects.upload", self.inner.upload(from, uri)).await
    }

    async fn upload_noted(&self, from: &Path, uri: &Uri, note: &str) -> Result<()> {
        self.faults.around("objects.upload_noted", self.inner.upload_noted(from, uri, note)).await
    }

    async fn link(&self, uri: &Uri, valid: std::time::Duration) -> Result<Option<String>> {
        self.inner.link(uri, valid).await
    }

    async fn copy(&self, from: &Uri, to: &Uri) -> Result<bool> {
        let later = || {
            let (inner, from, to) = (self.inner.clone(), from.clone(), to.clone());
            async move { drop(inner.copy(&from, &to).await) }.boxed()
        };
        self.faults.effect("objects.copy", self.inner.copy(from, to), later).await
    }

    async fn delete(&self, uri: &Uri) -> Result<()> {
        self.faults.around("objects.delete", self.inner.delete(uri)).await
    }
}

/// An argument as it is kept for a call that comes late.
macro_rules! kept {
    (borrowed $arg:ident) => {
        $arg.clone()
    };
    (copied $arg:ident) => {
        $arg
    };
    (text $arg:ident) => {
        $arg.to_owned()
    };
    (optional $arg:ident) => {
        $arg.map(str::to_owned)
    };
}

/// The kept argument as the call takes it.
macro_rules! lent {
    (borrowed $arg:ident) => {
        &$arg
    };
    (copied $arg:ident) => {
        $arg
    };
    (text $arg:ident) => {
        &$arg
    };
    (optional $arg:ident) => {
        $arg.as_deref()
    };
}

/// Writes the ledger's wrapper: verbs that change something may come late, lists may be torn.
macro_rules! faulty_ledger {
    (
        reads { $($read:ident($($r:ident: $rt:ty),*) -> $rout:ty;)* }
        lists { $($list:ident($($l:ident: $lt:ty),*) -> $lout:ty, by $key:expr;)* }
        writes { $($write:ident($($w:ident: $wt:ty = $how:ident),*) -> $wout:ty;)* }
    ) => {
        #[async_trait]
        impl<L: Ledger + ?Sized + 'static> Ledger for Faulty<L> {
            $(async fn $read(&self, $($r: $rt),*) -> Result<$rout> {
                let call = self.inner.$read($($r),*);
                self.faults.around(concat!("ledger.", stringify!($read)), call).await
            })*
            $(async fn $list(&self, $($l: $lt),*) -> Result<Vec<$lout>> {
                let read = || self.inner.$list($($l),*);
                self.faults.pages(concat!("ledger.", stringify!($list)), read, $key).await
            })*
            $(async fn $write(&self, $($w: $wt),*) -> Result<$wout> {
                let call = self.inner.$write($($w),*);
                let later = || {
                    let inner = self.inner.clone();
                    $(let $w = kept!($how $w);)*
                    async move { drop(inner.$write($(lent!($how $w)),*).await) }.boxed()
                };
                self.faults.effect(concat!("ledger.", stringify!($write)), call, later).await
            })*

            /// Found through an index, which lags: some may be missed.
            async fn jobs(&self, status: JobStatus) -> Result<Vec<Job>> {
                let mut jobs = self.faults.around("ledger.jobs", self.inner.jobs(status)).await?;
                if !jobs.is_empty() && self.faults.hits("index lags", |r| r.torn) {
                    jobs.retain(|_| self.faults.random() < 0.5);
                }
                Ok(jobs)
            }

            /// The same.
            async fn some_jobs(
                &self,
                status: JobStatus,
                from: Option<&Cursor>,
                limit: usize,
            ) -> Result<SomeJobs> {
                let call = self.inner.some_jobs(status, from, limit);
                let mut some = self.faults.around("ledger.jobs", call).await?;
                if !some.jobs.is_empty() && self.faults.hits("index lags", |r| r.torn) {
                    some.jobs.retain(|_| self.faults.random() < 0.5);
                }
                Ok(some)
            }
        }
    };
}

faulty_ledger! {
    reads {
        holders() -> Vec<Holder>;
        segment(segment: &Segment) -> Option<SegmentRow>;
        by_location(location: &Uri) -> Option<Segment>;
        job(job_id: &JobId) -> Option<Job>;
    }
    lists {
        segments_at(job_id: &JobId, index: u32) -> SegmentRow, by |row| row.segment.clone();
        segments(job_id: &JobId) -> SegmentRow, by |row| row.segment.clone();
        due(now: Timestamp, limit: usize) -> SegmentRow, by |row| (row.next_at, row.segment.clone());
        completions(job_id: &JobId, total: u32) -> SegmentCompletion, by |c| c.segment_index;
    }
    writes {
        reserve(holder: &HolderId = borrowed, limit: u32 = copied, until: Timestamp = copied, now: Timestamp = copied) -> Reserve;
        unreserve(holder: &HolderId = borrowed) -> ();
        record_intent(intent: &Intent = borrowed) -> IntentOutcome;
        record_invoked(fence: &Fence = borrowed, locations: &Locations = borrowed, deadline: Timestamp = copied) -> Ended;
        renew(fence: &Fence = borrowed, deadline: Timestamp = copied) -> Ended;
        complete(fence: &Fence = borrowed, release: bool = copied, now: Timestamp = copied) -> Completed;
        complete_and_reserve(fence: &Fence = borrowed, next: &HolderId = borrowed, until: Timestamp = copied, now: Timestamp = copied) -> (Completed, Reserve);
        release(fence: &Fence = borrowed) -> Ended;
        retry(fence: &Fence = borrowed, at: Timestamp = copied, error: &AttemptError = borrowed, cost: Cost = copied) -> Ended;
        fail(fence: &Fence = borrowed, error: &AttemptError = borrowed, now: Timestamp = copied) -> Ended;
        reopen(segment: &Segment = borrowed, now: Timestamp = copied) -> Ended;
        hasten(segment: &Segment = borrowed, now: Timestamp = copied) -> Ended;
        create_job(job: &Job = borrowed) -> bool;
        advance(job_id: &JobId = borrowed, to: JobStatus = copied, total: Option<u32> = copied, reason: Option<&str> = optional, now: Timestamp = copied) -> Advance;
        trigger(job_id: &JobId = borrowed, nonce: &str = text, resend: Resend = copied, now: Timestamp = copied) -> TriggerOutcome;
        triggered(job_id: &JobId = borrowed, now: Timestamp = copied) -> ();
        lock_reassembly(job_id: &JobId = borrowed, nonce: &str = text, until: Timestamp = copied, now: Timestamp = copied) -> Lock;
        unlock_reassembly(job_id: &JobId = borrowed, nonce: &str = text) -> ();
    }
}

#[async_trait]
impl<L: OperatorLedger + ?Sized + 'static> OperatorLedger for Faulty<L> {
    async fn latest_jobs(
        &self,
        status: JobStatus,
        from: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Job>> {
        let call = self.inner.latest_jobs(status, from, limit);
        self.faults.around("ledger.latest_jobs", call).await
    }

    async fn uploaded(&self, job_id: &JobId, bytes: u64, now: Timestamp) -> Result<bool> {
        let call = self.inner.uploaded(job_id, bytes, now);
        self.faults.around("ledger.uploaded", call).await
    }

    async fn reassembling_until(&self, job_id: &JobId) -> Result<Option<Timestamp>> {
        let call = self.inner.reassembling_until(job_id);
        self.faults.around("ledger.reassembling_until", call).await
    }

    async fn forget(&self, job_id: &JobId) -> Result<usize> {
        self.faults.around("ledger.forget", self.inner.forget(job_id)).await
    }
}
