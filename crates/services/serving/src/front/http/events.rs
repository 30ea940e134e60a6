//! A job's progress as server-sent events.
//!
//! Each event tells how things are and not what changed, so that a reader who comes late, or
//! again, misses nothing that matters.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;

use super::jobs::Job;

/// Between two progress events of one stream.
const PACE: Duration = Duration::from_millis(250);
/// Between two signs of life.
const ALIVE: Duration = Duration::from_secs(15);

enum Next {
    Now,
    Later,
    Nothing,
}

/// `progress` events at a bounded pace, then one `end` event with the whole job. The stream keeps
/// its `place` until it ends or its reader leaves.
pub(super) fn stream(job: Arc<Job>, place: OwnedSemaphorePermit) -> Response {
    let progress = job.progress();
    let first = (job, progress, Next::Now, place);
    let events = stream::unfold(first, |(job, mut progress, next, place)| async move {
        match next {
            Next::Nothing => return None,
            Next::Now => {}
            Next::Later => {
                tokio::select! {
                    biased;
                    () = job.over() => {}
                    // A run that has ended tells no more: then only the end is waited for.
                    () = async {
                        sleep(PACE).await;
                        if progress.changed().await.is_err() {
                            std::future::pending::<()>().await;
                        }
                    } => {}
                }
            }
        }
        let view = job.view();
        let (event, next) = if view.ended_ms.is_some() {
            (Event::default().event("end").data(json!(view).to_string()), Next::Nothing)
        } else {
            let told = json!(view.progress).to_string();
            progress.mark_unchanged();
            (Event::default().event("progress").data(told), Next::Later)
        };
        Some((Ok::<_, Infallible>(event), (job, progress, next, place)))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)).into_response()
}
