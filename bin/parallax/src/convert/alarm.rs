//! Trouble that ends a run, told to the person at once, and the retries before it.
//!
//! A daemon waits until a disk has room again, and fails a job whose film cannot be joined.
//! Somebody at a terminal wants to know of the first at once, and loses hours by the second:
//! here a join that fails ends the run and never the job, which may be joined otherwise.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use parallax_job::{JobId, Mode, Segment, Uri};
use parallax_ports::{
    Assembler, Chunker, Custody, Cut, Error, InferenceBackend, Invocation, Invoked, Kind,
    MediaError, Result,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::progress::Reporter;

/// Tries of cutting, publishing and joining in one run.
const TRIES: u32 = 3;
/// Wait after the first failed one; four times longer after the next.
const WAIT: Duration = Duration::from_secs(1);

/// What a run was at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Cutting,
    Converting,
    Joining,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Cutting => "cutting",
            Step::Converting => "converting",
            Step::Joining => "joining",
        })
    }
}

/// What ends a run.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    pub(crate) step: Step,
    pub(crate) why: String,
}

/// Holds the first trouble.
#[derive(Debug, Clone)]
pub(crate) struct Alarm(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    first: Mutex<Option<Trouble>>,
    raised: Notify,
    reporter: Arc<Reporter>,
}

impl Alarm {
    pub(crate) fn new(reporter: &Arc<Reporter>) -> Self {
        let (first, raised) = (Mutex::new(None), Notify::new());
        Self(Arc::new(Inner { first, raised, reporter: reporter.clone() }))
    }

    /// Waits for trouble.
    pub(crate) async fn raised(&self) -> Trouble {
        loop {
            let raised = self.0.raised.notified();
            if let Some(trouble) = &*self.0.first.lock().unwrap_or_else(PoisonError::into_inner) {
                return trouble.clone();
            }
            raised.await;
        }
    }

    fn raise(&self, step: Step, why: String) {
        let mut first = self.0.first.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(Trouble { step, why });
        drop(first);
        self.0.raised.notify_waiters();
    }

    /// Whether the person should act before anything is tried again.
    fn at_once(error: &Error) -> bool {
        matches!(error.kind(), Kind::Unavailable | Kind::Unauthorized)
    }

    /// Does `work` until it succeeds, is cancelled or cannot succeed, telling of every retry.
    ///
    /// # Errors
    /// `Cancelled` at the end of the run, which trouble brings about; what is wrong with the
    /// source, while it is being cut.
    async fn bounded<T, F>(
        &self,
        step: Step,
        cancel: &CancellationToken,
        mut work: impl FnMut() -> F,
    ) -> std::result::Result<T, MediaError>
    where
        F: Future<Output = std::result::Result<T, MediaError>>,
    {
        for attempt in 1.. {
            let error = match work().await {
                Ok(done) => return Ok(done),
                Err(MediaError::Port(error)) if error.kind() == Kind::Cancelled => {
                    return Err(error.into());
                }
                // Nothing is converted yet: the job may fail.
                Err(MediaError::Input(why)) if step == Step::Cutting => {
                    return Err(MediaError::Input(why));
                }
                Err(error) => error,
            };
            let (why, waiting_helps) = match &error {
                MediaError::Input(why) => (why.clone(), false),
                MediaError::Port(error) => {
                    let helps = !Self::at_once(error) && error.kind() != Kind::Rejected;
                    (error.chain(), helps)
                }
            };
            if !waiting_helps || attempt >= TRIES {
                self.raise(step, why);
                // The run ends now, and the job is left as it is.
                cancel.cancelled().await;
                break;
            }
            let wait = WAIT * 4u32.pow(attempt - 1);
            self.0.reporter.retry(&step.to_string(), (attempt, TRIES), &why, Some(wait));
            if cancel.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                break;
            }
        }
        Err(Error::new(Kind::Cancelled, "the run ends").into())
    }
}

/// A port whose trouble raises the alarm.
#[derive(Debug)]
pub(crate) struct Alarmed<P>(pub(crate) P, pub(crate) Alarm);

// A wrapper that forgets a method with a default drops what the backend says by it.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<B: InferenceBackend> InferenceBackend for Alarmed<B> {
    fn custody(&self) -> Custody {
        self.0.custody()
    }

    fn attempt_name(&self, segment: &Segment, attempt: u32) -> Option<String> {
        self.0.attempt_name(segment, attempt)
    }

    fn request_at(&self, segment: &Segment) -> Option<Uri> {
        self.0.request_at(segment)
    }

    async fn prepare(&self, invocation: &Invocation, cancel: &CancellationToken) -> Result<()> {
        self.0.prepare(invocation, cancel).await
    }

    async fn invoke(&self, invocation: &Invocation, cancel: &CancellationToken) -> Result<Invoked> {
        // The worker's loops count and time the tries of segments.
        self.0.invoke(invocation, cancel).await.inspect_err(|error| {
            if Alarm::at_once(error) {
                self.1.raise(Step::Converting, error.chain());
            }
        })
    }
}

#[async_trait]
impl<C: Chunker> Chunker for Alarmed<C> {
    async fn plan(
        &self,
        job_id: &JobId,
        mode: Mode,
        cancel: &CancellationToken,
    ) -> std::result::Result<Box<dyn Cut>, MediaError> {
        let plan = || self.0.plan(job_id, mode, cancel);
        let cut = self.1.bounded(Step::Cutting, cancel, plan).await?;
        Ok(Box::new(AlarmedCut(cut, self.1.clone())))
    }
}

struct AlarmedCut(Box<dyn Cut>, Alarm);

#[async_trait]
impl Cut for AlarmedCut {
    fn total(&self) -> u32 {
        self.0.total()
    }

    async fn publish(&self, cancel: &CancellationToken) -> std::result::Result<(), MediaError> {
        self.1.bounded(Step::Cutting, cancel, || self.0.publish(cancel)).await
    }
}

#[async_trait]
impl<A: Assembler> Assembler for Alarmed<A> {
    async fn assemble(
        &self,
        job_id: &JobId,
        total: u32,
        cancel: &CancellationToken,
    ) -> std::result::Result<(), MediaError> {
        self.1.0.reporter.joining(total);
        let join = || self.0.assemble(job_id, total, cancel);
        self.1.bounded(Step::Joining, cancel, join).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Fails as `error` says each time, at `step`; the tries and the trouble.
    async fn fails(step: Step, error: fn() -> MediaError) -> (u32, Option<Trouble>, MediaError) {
        let alarm = Alarm::new(&Arc::new(Reporter::new(true)));
        let (tries, cancel) = (AtomicU32::new(0), CancellationToken::new());
        let work = || {
            tries.fetch_add(1, Ordering::Relaxed);
            async { Err::<(), _>(error()) }
        };
        let watch = async {
            let trouble = alarm.raised().await;
            cancel.cancel();
            trouble
        };
        let work = alarm.bounded(step, &cancel, work);
        tokio::pin!(work, watch);
        let (trouble, ended) = tokio::select! {
            biased;
            ended = &mut work => (None, ended),
            trouble = &mut watch => (Some(trouble), work.await),
        };
        (tries.load(Ordering::Relaxed), trouble, ended.unwrap_err())
    }

    #[tokio::test(start_paused = true)]
    async fn what_waiting_cannot_change_is_tried_once() {
        let input = || MediaError::Input("58 of 68 frames".to_owned());
        let full = || Error::new(Kind::Unavailable, "no room").into();
        for error in [input, full] {
            let (tries, trouble, ended) = fails(Step::Joining, error).await;
            let trouble = trouble.unwrap();
            assert_eq!((tries, trouble.step), (1, Step::Joining), "{trouble:?}");
            let kept = matches!(&ended, MediaError::Port(e) if e.kind() == Kind::Cancelled);
            assert!(kept, "the job is left as it is: {ended}");
        }
        let (tries, trouble, ended) = fails(Step::Cutting, input).await;
        assert_eq!((tries, trouble.is_none()), (1, true));
        assert!(matches!(ended, MediaError::Input(_)), "nothing is converted: the job fails");
    }

    /// Says of itself all that a backend can.
    #[derive(Debug)]
    struct Talkative;

    fn told_at() -> Uri {
        Uri::File("/requests/0".into())
    }

    #[async_trait]
    impl InferenceBackend for Talkative {
        fn custody(&self) -> Custody {
            Custody::Caller
        }

        fn attempt_name(&self, _: &Segment, attempt: u32) -> Option<String> {
            Some(format!("attempt {attempt}"))
        }

        fn request_at(&self, _: &Segment) -> Option<Uri> {
            Some(told_at())
        }

        async fn prepare(&self, _: &Invocation, _: &CancellationToken) -> Result<()> {
            Err(Error::new(Kind::Throttled, "prepared"))
        }

        async fn invoke(&self, _: &Invocation, _: &CancellationToken) -> Result<Invoked> {
            unreachable!("nothing is started")
        }
    }

    #[tokio::test]
    async fn all_that_a_backend_says_is_passed_on() {
        let alarmed = Alarmed(Talkative, Alarm::new(&Arc::new(Reporter::new(true))));
        let segment = Segment::new("film".parse().unwrap(), 0, 1, Mode::Sbs).unwrap();
        let (input, output) = (told_at(), told_at());
        let invocation = Invocation { segment: segment.clone(), attempt: 1, input, output };
        assert_eq!(alarmed.attempt_name(&segment, 2).as_deref(), Some("attempt 2"));
        assert_eq!(alarmed.request_at(&segment), Some(told_at()));
        let error = alarmed.prepare(&invocation, &CancellationToken::new()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Throttled);
    }

    #[tokio::test(start_paused = true)]
    async fn what_waiting_may_change_is_tried_a_few_times() {
        let passing = || Error::new(Kind::Internal, "input/output error").into();
        let (tries, trouble, _) = fails(Step::Joining, passing).await;
        assert_eq!(tries, TRIES);
        assert_eq!(trouble.unwrap().why, "input/output error");
    }
}
