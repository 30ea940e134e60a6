//! One job: run, then told to the platform.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::Semaphore;
use tracing::{Instrument, info, info_span, warn};

use super::platform::Post;
use super::running::Place;
use super::shared::Shared;
use crate::execute::{Ending, Listener, execute};
use crate::{Job, JobError, body};

/// Runs `job` once there is a slot for it. Its place is free when the platform has the result.
pub(super) async fn run(shared: Arc<Shared>, job: Job, place: Place, slots: Arc<Semaphore>) {
    let span = info_span!("runpod_job", request_id = job.id);
    let work = async {
        let slot = place.stopped().run_until_cancelled(slots.acquire()).await;
        if let Some(Ok(_slot)) = slot {
            run_in_slot(&shared, job, &place).await;
        }
    };
    work.instrument(span).await;
}

/// Tells the sender of a job that it was one too many.
pub(super) async fn refuse(shared: Arc<Shared>, id: String, place: Place) {
    let message = "the platform sent this worker more jobs than can wait here: send it again";
    let body = shared.reporter.failure(&JobError::new("Overloaded", message));
    let told = shared.tell(&place, Post::Output { streamed: false }, &id, &body).await;
    warn!(request_id = id, told, "job refused");
}

async fn run_in_slot(shared: &Shared, job: Job, place: &Place) {
    info!("job started");
    let id = job.id.clone();
    let gather = shared.options.aggregate || !shared.platform.streams();
    let teller = Teller { shared, place, id: &id, gathered: gather.then(Mutex::default) };
    let grace = shared.options.stop_grace;
    let ending = execute(shared.handler.clone(), job, place.stopped(), grace, &teller).await;
    let (mut body, streamed) = match ending {
        Ending::Stopped => {
            info!("job stopped");
            return;
        }
        Ending::Whole(output) => (body::whole(output), false),
        Ending::Failed(error) => {
            warn!(%error, trace = error.trace, "job failed");
            (shared.reporter.failure(&error), false)
        }
        Ending::Parts => (body::parts(teller.gathered()), true),
        Ending::PartsFailed(error) => {
            warn!(?error, "job failed");
            (body::parts_failed(error), true)
        }
    };
    if shared.options.refresh_worker {
        body::refresh(&mut body);
    }
    let spent = body.contains_key("stopPod");
    let told = shared.tell(place, Post::Output { streamed }, &id, &body).await;
    info!(told, "job finished");
    if spent {
        shared.enough.cancel();
    }
}

impl Shared {
    /// Posts a body, unless the job is stopped meanwhile.
    async fn tell(
        &self,
        place: &Place,
        post: Post,
        id: &str,
        body: &impl serde::Serialize,
    ) -> bool {
        let Some(text) = body::text(id, body) else { return false };
        let posting = self.platform.post(post, id, text);
        place.stopped().run_until_cancelled(posting).await.unwrap_or(false)
    }
}

/// Tells the platform what a job says while it runs.
struct Teller<'a> {
    shared: &'a Shared,
    place: &'a Place,
    id: &'a str,
    /// The parts, where the result repeats them.
    gathered: Option<Mutex<Vec<Value>>>,
}

impl Teller<'_> {
    fn gathered(self) -> Vec<Value> {
        let parts = self.gathered.map(|parts| parts.into_inner());
        parts.map(|parts| parts.unwrap_or_else(PoisonError::into_inner)).unwrap_or_default()
    }
}

#[async_trait]
impl Listener for Teller<'_> {
    async fn progress(&self, update: Value) {
        let body = body::progress(update);
        let post = Post::Output { streamed: false };
        self.shared.tell(self.place, post, self.id, &body).await;
    }

    async fn part(&self, part: Value) -> Result<(), JobError> {
        if let Some(gathered) = &self.gathered {
            gathered.lock().unwrap_or_else(PoisonError::into_inner).push(part.clone());
        }
        if self.shared.platform.streams() {
            self.shared.tell(self.place, Post::Part, self.id, &body::part(part)).await;
        }
        Ok(())
    }
}
