//! The queue's changes as server-sent events.
//!
//! An event's id is the number of its change. A browser that lost the connection names the last one by itself,
//! in `Last-Event-ID`, and is told what it missed; one that comes with a number of another process is told
//! everything, after `reset`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use parallax_web::Refusal;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use crate::queue::{Change, Queue};
use crate::views;

/// Streams that are open at once.
pub(crate) const MOST: usize = 128;
/// Between two looks at what changed.
const PACE: Duration = Duration::from_millis(250);
/// Between two signs of life.
const ALIVE: Duration = Duration::from_secs(15);

struct Reader {
    queue: Arc<Queue>,
    changed: watch::Receiver<u64>,
    /// The last change that was told.
    last: Option<u64>,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Reader {
    /// What there is to tell, once there is something; `None` at the server's end.
    async fn next(&mut self) -> Option<Vec<Event>> {
        loop {
            self.changed.mark_unchanged();
            let told = self.queue.since(self.last);
            if told.whole || !told.changes.is_empty() {
                // Not the last that was told: of what was removed long ago nobody is told any more.
                self.last = Some(told.number);
                let reset = told.whole.then(|| whole(&told.changes));
                let changes =
                    told.changes.iter().map(|(number, change)| self.event(*number, change));
                return Some(reset.into_iter().chain(changes).collect());
            }
            tokio::select! {
                () = self.stop.cancelled() => return None,
                changed = self.changed.changed() => changed.ok()?,
            }
            // Others may follow at once; the latest is what counts.
            tokio::time::sleep(PACE).await;
        }
    }

    fn event(&self, number: u64, change: &Change) -> Event {
        let id = format!("{}-{number}", self.queue.epoch);
        let (name, data) = match change {
            Change::Job(job) => ("job", views::job_view(job)),
            Change::Gone(id) => ("gone", serde_json::json!({ "id": id })),
        };
        Event::default().event(name).id(id).data(data.to_string())
    }
}

/// Which jobs there are: others that a reader knows are gone.
fn whole(changes: &[(u64, Change)]) -> Event {
    let ids = changes.iter().filter_map(|(_, change)| match change {
        Change::Job(job) => Some(&job.id),
        Change::Gone(_) => None,
    });
    let data = serde_json::json!({ "ids": ids.collect::<Vec<_>>() });
    Event::default().event("reset").data(data.to_string())
}

/// Everything, or what changed after the event that `Last-Event-ID` names, and then what changes.
pub(crate) fn stream(
    queue: Arc<Queue>,
    headers: &HeaderMap,
    places: &Arc<tokio::sync::Semaphore>,
    stop: CancellationToken,
) -> Result<Response, Refusal> {
    let place = places.clone().try_acquire_owned().map_err(|_| {
        let why = "as many pages are open as may be";
        Refusal::new(StatusCode::TOO_MANY_REQUESTS, why)
    })?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let last = last.and_then(|id| {
        let (epoch, number) = id.split_once('-')?;
        (epoch == queue.epoch).then(|| number.parse().ok())?
    });
    let changed = queue.watch();
    let reader = Reader { queue, changed, last, stop, _place: place };
    let told = stream::unfold(reader, |mut reader| async move {
        let events = reader.next().await?;
        Some((stream::iter(events), reader))
    });
    let events = told.flatten().map(Ok::<_, Infallible>);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)).into_response())
}
