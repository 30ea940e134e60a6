//! Says in the ledger that this process is at work and how it is, for the console.

use std::sync::Arc;
use std::time::Duration;

use parallax_job::Timestamp;
use parallax_ports::health::Flags;
use parallax_ports::{Ids, Replica, Replicas};
use parallax_worker::Roles;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Between two words: a write a minute.
const EVERY: Duration = Duration::from_secs(60);
/// The longest time for one.
const TIME: Duration = Duration::from_secs(5);
/// The longest time for the last one.
const LAST: Duration = Duration::from_secs(1);

/// Says so until `stop`, and then that it has left. Nothing depends on it, so that what cannot be said is not.
pub(crate) async fn announce(
    replicas: Arc<dyn Replicas>,
    roles: Roles,
    flags: Flags,
    stop: CancellationToken,
) {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let random: String = Ids::random().next().chars().take(8).collect();
    let id = format!("{}-{}-{random}", host.trim(), std::process::id());
    let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    let since = Timestamp::from_system_clock();
    loop {
        let replica = Replica {
            id: id.clone(),
            version: parallax_process::version().to_owned(),
            roles: names.join(","),
            since,
            seen: Timestamp::from_system_clock(),
            not_ready: flags.lowered().into_iter().collect(),
        };
        match tokio::time::timeout(TIME, replicas.announce(&replica)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                debug!(error = %error.chain(), "could not say that this replica is at work")
            }
            Err(_) => debug!("no answer to the word that this replica is at work"),
        }
        if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
            break;
        }
    }
    let _ = tokio::time::timeout(LAST, replicas.leave(&id)).await;
}
