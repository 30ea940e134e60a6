//! What the media steps promise: a [`Chunker`] and an [`Assembler`] that belong together.

use std::collections::BTreeSet;
use std::sync::Arc;

use parallax_job::{Buckets, JobId, Mode, ObjectKey, Segment, Uri};
use parallax_ports::{Assembler, Chunker, Error, Kind, MediaError, ObjectStore};
use tokio_util::sync::CancellationToken;

/// The most bytes of a segment of the suite's source.
const LONGEST_SEGMENT: u64 = 1 << 24;

/// The two steps and what the suite needs around them.
#[derive(Debug)]
pub struct Setup {
    /// Cuts.
    pub chunker: Arc<dyn Chunker>,
    /// Joins.
    pub assembler: Arc<dyn Assembler>,
    /// Where sources, segments, results and films are.
    pub objects: Arc<dyn ObjectStore>,
    /// In which buckets.
    pub buckets: Buckets,
    /// A job whose source is there, is cut into at least two segments, and of which there is nothing else.
    pub job: JobId,
}

impl Setup {
    fn segment(&self, index: u32, total: u32) -> Uri {
        let segment = Segment::new(self.job.clone(), index, total, Mode::Sbs).unwrap();
        self.buckets.input.uri(&ObjectKey::Segment(segment)).unwrap()
    }

    fn result(&self, index: u32) -> Uri {
        let key = ObjectKey::Result { job_id: self.job.clone(), index };
        self.buckets.output.uri(&key).unwrap()
    }

    fn film(&self) -> Uri {
        self.buckets.output.uri(&ObjectKey::Final(self.job.clone())).unwrap()
    }

    async fn is_there(&self, uri: &Uri) -> bool {
        self.objects.head(uri).await.unwrap().is_some()
    }

    /// Copies every segment to where its result belongs: a film of these is a film.
    async fn pass_through(&self, total: u32) {
        for index in 0..total {
            let (segment, result) = (self.segment(index, total), self.result(index));
            let bytes = self.objects.read(&segment, LONGEST_SEGMENT).await.unwrap();
            self.objects.write(&result, &bytes).await.unwrap();
        }
    }
}

/// Every promise.
pub async fn all(setup: &Setup) {
    a_missing_source_is_told(setup).await;
    a_cancelled_step_leaves_nothing(setup).await;
    let total = a_source_is_always_cut_alike(setup).await;
    a_cut_is_published_whole_and_again_without_harm(setup, total).await;
    a_film_needs_all_of_its_results(setup, total).await;
    results_are_joined_and_again_without_harm(setup, total).await;
}

fn is_cancelled(error: &MediaError) -> bool {
    matches!(error, MediaError::Port(error) if error.kind() == Kind::Cancelled)
}

/// A source that is not there is the port's word, and never the media's fault: it may come yet.
async fn a_missing_source_is_told(setup: &Setup) {
    let nobody: JobId = "nobody".parse().unwrap();
    let cancel = CancellationToken::new();
    let planned = setup.chunker.plan(&nobody, Mode::Sbs, &cancel).await.map(|cut| cut.total());
    let missing = |error: &Error| error.kind() == Kind::NotFound;
    assert!(matches!(&planned, Err(MediaError::Port(error)) if missing(error)), "{planned:?}");
    let joined = setup.assembler.assemble(&nobody, 1, &cancel).await;
    assert!(matches!(&joined, Err(MediaError::Port(error)) if missing(error)), "{joined:?}");
}

async fn a_cancelled_step_leaves_nothing(setup: &Setup) {
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let planned = setup.chunker.plan(&setup.job, Mode::Sbs, &cancelled).await;
    let error = planned.map(|cut| cut.total()).unwrap_err();
    assert!(is_cancelled(&error), "{error}");
    let error = setup.assembler.assemble(&setup.job, 1, &cancelled).await.unwrap_err();
    assert!(is_cancelled(&error), "{error}");
    assert!(!setup.is_there(&setup.film()).await);
}

/// Nothing is published by a plan.
async fn a_source_is_always_cut_alike(setup: &Setup) -> u32 {
    let mut totals = BTreeSet::new();
    for _ in 0..2 {
        let cancel = CancellationToken::new();
        let cut = setup.chunker.plan(&setup.job, Mode::Sbs, &cancel).await.unwrap();
        totals.insert(cut.total());
        for index in 0..cut.total() {
            assert!(!setup.is_there(&setup.segment(index, cut.total())).await, "published");
        }
    }
    assert_eq!(totals.len(), 1, "cut in different ways: {totals:?}");
    let total = totals.pop_first().unwrap();
    assert!(total >= 2, "the suite's source is cut into {total}");
    total
}

/// What is there already is left as it is, and what is not is written.
async fn a_cut_is_published_whole_and_again_without_harm(setup: &Setup, total: u32) {
    let cancel = CancellationToken::new();
    let publish = async || {
        let cut = setup.chunker.plan(&setup.job, Mode::Sbs, &cancel).await.unwrap();
        cut.publish(&cancel).await.unwrap();
        let mut sizes = Vec::new();
        for index in 0..total {
            let meta = setup.objects.head(&setup.segment(index, total)).await.unwrap();
            sizes.push(meta.expect("every segment is there").size);
        }
        sizes
    };
    let first = publish().await;
    assert!(first.iter().all(|size| *size > 0), "{first:?}");
    setup.objects.delete(&setup.segment(total - 1, total)).await.unwrap();
    assert_eq!(publish().await, first, "the same again");
}

async fn a_film_needs_all_of_its_results(setup: &Setup, total: u32) {
    setup.pass_through(total).await;
    setup.objects.delete(&setup.result(total - 1)).await.unwrap();
    let joined = setup.assembler.assemble(&setup.job, total, &CancellationToken::new()).await;
    assert!(joined.is_err(), "a result is missing");
    assert!(!setup.is_there(&setup.film()).await, "half a film");
}

/// Whoever joined before may have died before that was recorded.
async fn results_are_joined_and_again_without_harm(setup: &Setup, total: u32) {
    setup.pass_through(total).await;
    for _ in 0..2 {
        let cancel = CancellationToken::new();
        setup.assembler.assemble(&setup.job, total, &cancel).await.unwrap();
        let film = setup.objects.head(&setup.film()).await.unwrap();
        assert!(film.is_some_and(|meta| meta.size > 0), "there is no film");
    }
}
