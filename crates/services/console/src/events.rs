//! Views as server-sent events: each the whole view, when it has changed.
//!
//! A browser that lost the connection names the last view that it has, in `Last-Event-ID`, and is told the one there
//! is unless it is the same.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use parallax_web::Refusal;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::hub::{Follower, Hub, Told};
use crate::topic::Topic;

/// Streams that are open at once.
const MOST: usize = 128;
/// Between two signs of life.
const ALIVE: Duration = Duration::from_secs(15);

struct Reader {
    follower: Follower,
    stop: CancellationToken,
    epoch: String,
    /// The number of the view that the browser has.
    last: Option<u64>,
    _place: OwnedSemaphorePermit,
}

impl Reader {
    /// The next view; `None` at the server's end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let told = self.follower.told.borrow_and_update().clone();
            if told.found.is_some() && self.last != Some(told.number) {
                self.last = Some(told.number);
                return Some(self.event(&told));
            }
            tokio::select! {
                () = self.stop.cancelled() => return None,
                changed = self.follower.told.changed() => changed.ok()?,
            }
        }
    }

    fn event(&self, told: &Told) -> Event {
        let (name, data) = match &told.found {
            Some(Ok(view)) => {
                ("view", json!({ "title": view.title, "html": view.html, "said": view.said }))
            }
            Some(Err(refusal)) => ("trouble", json!({ "error": refusal.why })),
            None => ("trouble", json!({ "error": "nothing is known yet" })),
        };
        let id = format!("{}-{}", self.epoch, told.number);
        Event::default().event(name).id(id).data(data.to_string())
    }
}

/// Streams of events.
#[derive(Debug)]
pub(crate) struct Streams {
    hub: Arc<Hub>,
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Streams {
    /// They end with `stop`.
    pub(crate) fn new(hub: Arc<Hub>, stop: CancellationToken) -> Self {
        Self { hub, places: Arc::new(Semaphore::new(MOST)), stop }
    }

    /// The view of `topic`, unless `Last-Event-ID` names it, and then each other one.
    ///
    /// # Errors
    /// 429 when as many are open as may be.
    pub(crate) fn open(&self, topic: Topic, headers: &HeaderMap) -> Result<Response, Refusal> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| {
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, "as many consoles are open as may be")
        })?;
        let epoch = self.hub.epoch().to_owned();
        let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
        let last = last.and_then(|id| {
            let (of, number) = id.split_once('-')?;
            (of == epoch).then(|| number.parse().ok())?
        });
        let (follower, stop) = (self.hub.follow(topic), self.stop.clone());
        let reader = Reader { follower, stop, epoch, last, _place: place };
        let events = stream::unfold(reader, |mut reader| async move {
            let event = reader.next().await?;
            Some((Ok::<_, Infallible>(event), reader))
        });
        Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)).into_response())
    }
}
