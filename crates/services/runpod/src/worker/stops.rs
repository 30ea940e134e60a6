//! The loop that hears which jobs are to stop.

use std::sync::Arc;

use tracing::{debug, info, warn};

use super::platform::Stops;
use super::shared::Shared;

/// Polls until everything ends, also while the worker drains: a job that nobody wants need not be finished.
pub(super) async fn watch(shared: Arc<Shared>) {
    if shared.platform.stops_jobs() {
        shared.end.run_until_cancelled(poll(&shared)).await;
    }
}

async fn poll(shared: &Shared) {
    let timing = &shared.options.timing;
    loop {
        let wait = match shared.platform.stops().await {
            Stops::Jobs(ids) => {
                for id in &ids {
                    if shared.running.stop(id) {
                        info!(request_id = id, "job is stopped");
                    } else {
                        debug!("a job to stop is not in progress");
                    }
                }
                if !ids.is_empty() {
                    continue;
                }
                timing.pause
            }
            Stops::Throttled => timing.throttled,
            Stops::Failed(why) => {
                warn!(error = why, "cannot ask which jobs are to stop");
                timing.pause
            }
        };
        tokio::time::sleep(wait).await;
    }
}
