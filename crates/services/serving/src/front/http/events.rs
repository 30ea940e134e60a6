//! A job as server-sent events.
//!
//! A `progress` event tells how things are and not what changed, so that a reader who comes late
//! misses nothing that matters. A `part` event is a piece of the answer and has a number as its
//! id: who comes again names the last that he has in `Last-Event-ID`, as browsers do by
//! themselves, and is told the rest.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;
use futures::{FutureExt, stream};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until};

use super::jobs::Job;
use crate::front::answer;
use crate::{Failure, Progress};

/// Between two progress events of one stream.
const PACE: Duration = Duration::from_millis(250);

/// What a reader has had of a job.
struct Reader {
    job: Arc<Job>,
    progress: watch::Receiver<Progress>,
    /// The part that comes next.
    part: usize,
    /// Before that there is no other progress event.
    due: Instant,
    over: bool,
    /// Kept until the stream ends or its reader leaves.
    _place: OwnedSemaphorePermit,
}

enum Next {
    Part(Value),
    Progress,
    End,
}

impl Reader {
    /// Waits for what comes next. Parts come first, so that all of them are there before the end.
    async fn next(&mut self) -> Next {
        let (job, part, due) = (self.job.clone(), self.part, self.due);
        let told = async {
            match job.parts().get(part).await {
                Some(part) => part,
                None => std::future::pending().await,
            }
        };
        let progressed = async {
            sleep_until(due).await;
            // A run that has ended tells no more: then only the end is waited for.
            if self.progress.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            part = told => return Next::Part(part),
            () = job.over() => {}
            () = progressed => return Next::Progress,
        }
        // What was told between the two looks. The run may go on for others when this job is over.
        let last = job.parts().get(part).now_or_never().flatten();
        last.map_or(Next::End, Next::Part)
    }

    async fn event(&mut self) -> Event {
        match self.next().await {
            Next::Part(part) => {
                let id = self.part.to_string();
                self.part += 1;
                Event::default().event("part").id(id).data(part.to_string())
            }
            Next::Progress => {
                self.due = Instant::now() + PACE;
                let told = json!(*self.progress.borrow_and_update()).to_string();
                Event::default().event("progress").data(told)
            }
            Next::End => {
                self.over = true;
                Event::default().event("end").data(json!(self.job.view()).to_string())
            }
        }
    }
}

/// `progress` events at a bounded pace and `part` events as they come, beginning with number
/// `part`; then one `end` event with the whole job. The stream keeps its `place`.
pub(super) fn stream(job: Arc<Job>, part: usize, place: OwnedSemaphorePermit) -> Response {
    let mut progress = job.progress();
    progress.mark_changed();
    let reader = Reader { job, progress, part, due: Instant::now(), over: false, _place: place };
    let events = stream::unfold(reader, |mut reader| async move {
        match reader.over {
            true => None,
            false => Some((reader.event().await, reader)),
        }
    });
    answer::stream(events)
}

/// The part that comes after the last one that a reader says he has.
///
/// # Errors
/// `Invalid` when it is no number of a part.
pub(super) fn first_part(headers: &HeaderMap) -> Result<usize, Failure> {
    let Some(last) = headers.get("last-event-id") else { return Ok(0) };
    let number = last.to_str().ok().and_then(|text| text.parse::<usize>().ok()?.checked_add(1));
    number.ok_or_else(|| Failure::field("Last-Event-ID", "the id of a `part` event is expected"))
}
