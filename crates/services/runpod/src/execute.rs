//! One job through the handler, whoever asked for it.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::handler::truthy;
use crate::progress::Progress;
use crate::{Handler, Job, JobContext, JobError, Output, Reply};

/// How long the last updates may keep a finished job's result waiting.
const LAST_UPDATES: Duration = Duration::from_secs(5);

/// Hears of a job while it runs.
#[async_trait]
pub(crate) trait Listener: Send + Sync {
    /// An update.
    async fn progress(&self, update: Value);
    /// A part of a streamed result, or why there must be no more of them.
    async fn part(&self, part: Value) -> Result<(), JobError>;
}

/// How a job ended.
#[derive(Debug, PartialEq)]
pub(crate) enum Ending {
    /// Somebody stopped it: there is no result.
    Stopped,
    /// With a whole result.
    Whole(Output),
    /// Without one.
    Failed(JobError),
    /// In parts, all of which the listener has.
    Parts,
    /// In parts, with an error after the last.
    PartsFailed(PartsError),
}

/// What ended a stream early.
#[derive(Debug, PartialEq)]
pub(crate) enum PartsError {
    /// A part that was an object with this `error`.
    Part(Value),
    /// The handler.
    Handler(JobError),
}

/// Aborts its task when dropped.
struct Work(JoinHandle<Ending>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs `job` until it ends, or until `grace` after `stopped`. A handler that does not end by then
/// is dropped.
pub(crate) async fn execute(
    handler: Arc<dyn Handler>,
    job: Job,
    stopped: &CancellationToken,
    grace: Duration,
    listener: &dyn Listener,
) -> Ending {
    let progress = Progress::default();
    let context = JobContext { stopped: stopped.clone(), progress: progress.clone() };
    let (sender, mut parts) = mpsc::channel(1);
    // A task of its own, so that a panic is this job's failure and nobody else's.
    let work = work(handler, job, context, sender).in_current_span();
    let mut work = Work(tokio::spawn(work));
    let deliver = async {
        let mut refused = None;
        while let Some(part) = parts.recv().await {
            if let Some(error) = part.get("error").filter(|error| truthy(error)) {
                refused = Some(PartsError::Part(error.clone()));
            } else if let Err(error) = listener.part(part).await {
                refused = Some(PartsError::Handler(error));
            }
            if refused.is_some() {
                work.0.abort();
                break;
            }
        }
        let ended = (&mut work.0).await;
        progress.close();
        match (refused, ended) {
            (Some(error), _) => Ending::PartsFailed(error),
            (None, Ok(ending)) => ending,
            (None, Err(error)) => Ending::Failed(broken(error)),
        }
    };
    let report = async {
        let all = async {
            while let Some(update) = progress.next().await {
                listener.progress(update).await;
            }
        };
        let late = async {
            progress.closed().await;
            tokio::time::sleep(LAST_UPDATES).await;
        };
        tokio::select! {
            () = all => {}
            () = late => {}
        }
    };
    let given_up = async {
        stopped.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    let ending = tokio::select! {
        biased;
        (ending, ()) = async { tokio::join!(deliver, report) } => ending,
        () = given_up => Ending::Stopped,
    };
    if stopped.is_cancelled() { Ending::Stopped } else { ending }
}

async fn work(
    handler: Arc<dyn Handler>,
    job: Job,
    context: JobContext,
    parts: mpsc::Sender<Value>,
) -> Ending {
    let mut stream = match handler.run(job, context).await {
        Ok(Reply::Whole(output)) => return Ending::Whole(output),
        Ok(Reply::Parts(stream)) => stream,
        Err(error) => return Ending::Failed(error),
    };
    while let Some(part) = stream.next().await {
        match part {
            Ok(part) => {
                if parts.send(part).await.is_err() {
                    break;
                }
            }
            Err(error) => return Ending::PartsFailed(PartsError::Handler(error)),
        }
    }
    Ending::Parts
}

fn broken(error: JoinError) -> JobError {
    let why = match error.try_into_panic() {
        Ok(panic) => said(&*panic),
        Err(_) => "the task was ended".to_owned(),
    };
    JobError::new("Panic", why)
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "no message".to_owned())
}
