//! What an [`InferenceBackend`] promises.

use std::sync::Arc;
use std::time::Duration;

use parallax_job::Segment;
use parallax_ports::{Custody, InferenceBackend, Invocation, Invoked, Kind, ObjectStore, request};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long an accepted attempt may take until its outcome is seen.
const PATIENCE: Duration = Duration::from_secs(60);

/// One backend and what the suite needs around it.
#[derive(Debug)]
pub struct Setup {
    /// The backend, idle.
    pub backend: Arc<dyn InferenceBackend>,
    /// Where it reads inputs and writes results.
    pub objects: Arc<dyn ObjectStore>,
    /// The first attempt at a segment that is there and that it can turn into a result, of a cut into at
    /// least two segments. Nothing is at its output.
    pub invocation: Invocation,
    /// Whether it finds out itself, within the call, that an input is missing.
    pub looks: bool,
}

/// Every promise.
pub async fn all(setup: &Setup) {
    an_attempt_has_a_name_of_its_own_or_none(setup);
    a_request_is_marked_before_the_backend_is_asked(setup).await;
    what_is_cancelled_leaves_no_result(setup).await;
    a_missing_input_is_named_and_leaves_no_result(setup).await;
    a_result_is_where_it_was_asked_for(setup).await;
    an_attempt_may_follow_another(setup).await;
}

fn attempt(setup: &Setup, attempt: u32) -> Invocation {
    Invocation { attempt, ..setup.invocation.clone() }
}

/// The same at another segment: its neighbour, of the same cut.
fn neighbour(segment: &Segment) -> Segment {
    let index = if segment.index == 0 { 1 } else { segment.index - 1 };
    Segment::new(segment.job_id.clone(), index, segment.total, segment.mode).unwrap()
}

/// Names are the same whenever they are asked for, and no other attempt's.
pub fn an_attempt_has_a_name_of_its_own_or_none(setup: &Setup) {
    let (backend, segment) = (&setup.backend, &setup.invocation.segment);
    let Some(name) = backend.attempt_name(segment, 1) else {
        assert_eq!(backend.attempt_name(segment, 2), None, "all of them have a name, or none");
        return;
    };
    assert_eq!(backend.attempt_name(segment, 1).as_ref(), Some(&name));
    let Segment { job_id, index, total, mode } = segment.clone();
    let other_cut = Segment::new(job_id, index, total + 1, mode).unwrap();
    for (other, attempt) in [(segment, 2), (&neighbour(segment), 1), (&other_cut, 1)] {
        assert_ne!(backend.attempt_name(other, attempt).as_ref(), Some(&name), "{other} {attempt}");
    }
}

/// Whoever finds no request that is marked with the attempt takes it that the backend was not asked.
pub async fn a_request_is_marked_before_the_backend_is_asked(setup: &Setup) {
    let Setup { backend, objects, invocation, .. } = setup;
    let cancel = CancellationToken::new();
    let Some(uri) = backend.request_at(&invocation.segment) else {
        backend.prepare(invocation, &cancel).await.expect("there is nothing to prepare");
        return;
    };
    assert_eq!(backend.custody(), Custody::Backend, "who runs in the caller's custody leaves none");
    assert_eq!(backend.request_at(&invocation.segment).as_ref(), Some(&uri), "always the same");
    for n in [1, 2] {
        backend.prepare(&attempt(setup, n), &cancel).await.unwrap();
        let mark = request::mark(&invocation.segment, n);
        assert_eq!(objects.note(&uri).await.unwrap(), Some(mark), "attempt {n}");
    }
    assert_eq!(objects.head(&invocation.output).await.unwrap(), None, "it was not asked yet");
}

/// A token that was cancelled is answered, and nothing is written. In the backend's own custody the
/// request is what is not written; whether it was asked, its answer says.
pub async fn what_is_cancelled_leaves_no_result(setup: &Setup) {
    let Setup { backend, objects, invocation, .. } = setup;
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let error = match backend.custody() {
        Custody::Caller => backend.invoke(invocation, &cancelled).await.unwrap_err(),
        Custody::Backend if backend.request_at(&invocation.segment).is_none() => return,
        Custody::Backend => backend.prepare(invocation, &cancelled).await.unwrap_err(),
    };
    assert_eq!(error.kind(), Kind::Cancelled, "{error}");
    assert_eq!(objects.head(&invocation.output).await.unwrap(), None);
}

/// `NotFound` and `Rejected` blame the input.
pub async fn a_missing_input_is_named_and_leaves_no_result(setup: &Setup) {
    if !setup.looks {
        return;
    }
    let Setup { backend, objects, invocation, .. } = setup;
    let cancel = CancellationToken::new();
    let missing = format!("{}.missing", invocation.input).parse().unwrap();
    let missing = Invocation { input: missing, ..invocation.clone() };
    backend.prepare(&missing, &cancel).await.unwrap();
    let error = backend.invoke(&missing, &cancel).await.unwrap_err();
    assert!(matches!(error.kind(), Kind::NotFound | Kind::Rejected), "{error}");
    assert_eq!(objects.head(&invocation.output).await.unwrap(), None);
}

/// `Finished` and `Written` say that the result is there, `Accepted` where its outcome will be.
pub async fn a_result_is_where_it_was_asked_for(setup: &Setup) {
    converted(setup, &attempt(setup, 1)).await;
}

/// Another attempt at the same segment, as after an answer that was lost, ends as the first did.
pub async fn an_attempt_may_follow_another(setup: &Setup) {
    setup.objects.delete(&setup.invocation.output).await.unwrap();
    converted(setup, &attempt(setup, 2)).await;
}

async fn converted(setup: &Setup, invocation: &Invocation) {
    let Setup { backend, objects, .. } = setup;
    let cancel = CancellationToken::new();
    backend.prepare(invocation, &cancel).await.unwrap();
    let written = || async { objects.head(&invocation.output).await.unwrap() };
    match backend.invoke(invocation, &cancel).await.unwrap() {
        Invoked::Finished | Invoked::Written => {
            assert_eq!(backend.custody(), Custody::Caller, "it worked inside the call");
        }
        Invoked::Accepted(locations) => {
            assert!(locations.response.is_none() || locations.response != locations.failure);
            let sign = locations.response.as_ref().unwrap_or(&invocation.output);
            let over = async {
                while objects.head(sign).await.unwrap().is_none() {
                    sleep(Duration::from_millis(20)).await;
                }
            };
            timeout(PATIENCE, over).await.expect("its outcome comes");
        }
    }
    assert!(written().await.is_some_and(|meta| meta.size > 0), "there is no result");
}
