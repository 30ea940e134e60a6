//! Who is at work, and what operators did.

use std::time::Duration;

use parallax_ports::{Act, Replica, Result};
use serde::Serialize;

use crate::source::Source;

/// Acts on one page.
const ON_A_PAGE: usize = 50;
/// After so long without a word a replica is said to be silent: it says how it is every minute.
const SILENT: Duration = Duration::from_secs(180);

/// Every replica that was heard of within a day.
#[derive(Debug, Serialize)]
pub(crate) struct ReplicasPage {
    pub(crate) replicas: Vec<ReplicaState>,
}

/// A replica, and whether it is still heard of.
#[derive(Debug, Serialize)]
pub(crate) struct ReplicaState {
    #[serde(flatten)]
    pub(crate) replica: Replica,
    pub(crate) is_silent: bool,
}

/// A page of acts.
#[derive(Debug, Serialize)]
pub(crate) struct ActsPage {
    pub(crate) acts: Vec<Written>,
    /// Before which number the next page begins.
    pub(crate) next: Option<u64>,
}

/// An act and its number.
#[derive(Debug, Serialize)]
pub(crate) struct Written {
    pub(crate) number: u64,
    #[serde(flatten)]
    pub(crate) act: Act,
}

pub(crate) async fn replicas(source: &Source) -> Result<ReplicasPage> {
    let now = source.deployment.clock.now();
    let replicas = source.deployment.replicas.replicas().await?;
    let replicas = replicas.into_iter().map(|mut replica| {
        for why in replica.not_ready.values_mut() {
            *why = source.redacted(why);
        }
        ReplicaState { is_silent: now.since(replica.seen) > SILENT, replica }
    });
    Ok(ReplicasPage { replicas: replicas.collect() })
}

pub(crate) async fn acts(source: &Source, before: Option<u64>) -> Result<ActsPage> {
    let found = source.deployment.acts.latest_acts(before, ON_A_PAGE).await?;
    let next = found.last().map(|(number, _)| *number).filter(|number| *number > 1);
    let next = next.filter(|_| found.len() == ON_A_PAGE);
    let acts = found.into_iter().map(|(number, act)| Written { number, act }).collect();
    Ok(ActsPage { acts, next })
}
