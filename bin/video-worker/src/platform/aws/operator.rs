//! What commands of operators work on.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use parallax_aws::SqsQueue;
use parallax_console::{Deployment, NamedQueue};
use parallax_ports::{Queue, SetClock, SystemClock};
use parallax_worker::Operator;
use tracing::warn;

use super::connect::{Connected, Named, connect, pool, usual_roles};
use super::elsewhere::Elsewhere;
use crate::backend::Backend;
use crate::config::Settings;

/// The ledger, the objects and the queues that work comes from.
pub(in crate::platform) async fn operator(settings: &Settings) -> Result<Operator> {
    operator_of(settings, connect(settings, &usual_roles()).await?, Vec::new())
}

/// The same with every queue of dead letters: the one that this daemon copies to, and those that the
/// queues' own redrive policies name.
pub(in crate::platform) async fn with_dead_letters(settings: &Settings) -> Result<Operator> {
    let it = connect(settings, &usual_roles()).await?;
    let dead = dead_letters(&it).await;
    operator_of(settings, it, shared(&dead))
}

/// What the console shows.
pub(in crate::platform) async fn watched(settings: &Settings) -> Result<Deployment> {
    let it = connect(settings, &usual_roles()).await?;
    let dead = dead_letters(&it).await;
    let named = |queue: &SqsQueue| {
        let name = queue.url().rsplit('/').next().unwrap_or_default().to_owned();
        NamedQueue { name, queue: Arc::new(queue.clone()) }
    };
    let queues = it.queues.working().map(|named_by| named(&named_by.queue)).collect();
    let clock = SetClock::new(Arc::new(SystemClock), it.aws.clocks().ledger.clone());
    let ledger = Arc::new(it.ledger.clone());
    Ok(Deployment {
        operator: operator_of(settings, it, shared(&dead))?,
        queues,
        dead_letters: dead.iter().map(named).collect(),
        replicas: ledger.clone(),
        acts: ledger,
        clock: Arc::new(clock),
    })
}

fn shared(queues: &[SqsQueue]) -> Vec<Arc<dyn Queue>> {
    queues.iter().map(|queue| Arc::new(queue.clone()) as Arc<dyn Queue>).collect()
}

async fn dead_letters(it: &Connected) -> Vec<SqsQueue> {
    let mut dead = BTreeMap::new();
    if let Some(Named { url, queue, .. }) = &it.queues.dead {
        dead.insert(url.clone(), queue.clone());
    }
    for Named { variable, url, queue } in it.queues.working() {
        match queue.dead_letters().await {
            Ok(found) => dead.extend(found.map(|queue| (queue.url().to_owned(), queue))),
            // One queue that is out of reach must not keep the others' letters from being moved.
            Err(error) => {
                let error = error.chain();
                warn!(variable, url, error, "cannot tell where its dead letters are: left alone");
            }
        }
    }
    dead.into_values().collect()
}

fn operator_of(
    settings: &Settings,
    it: Connected,
    dead_letters: Vec<Arc<dyn Queue>>,
) -> Result<Operator> {
    let shared = |named: Named| Arc::new(named.queue) as Arc<dyn Queue>;
    let or_elsewhere =
        |named: Option<Named>| named.map_or_else(|| Arc::new(Elsewhere) as _, shared);
    let (ledger, objects) = (Arc::new(it.ledger), Arc::new(it.objects));
    let pool = pool(settings)?;
    let pool = match settings.inference_backend {
        Backend::Sagemaker => format!("the endpoint {pool:?} (SAGEMAKER_ENDPOINT_NAME)"),
        _ => format!("the pool {pool:?} (INFERENCE_BACKEND)"),
    };
    Ok(Operator {
        ledger: ledger.clone(),
        pool,
        switches: ledger,
        objects: objects.clone(),
        listing: objects,
        buckets: it.buckets,
        segments: or_elsewhere(it.queues.segments),
        output_events: or_elsewhere(it.queues.output_events),
        chunking: it.queues.chunking.map(shared),
        reassembly: or_elsewhere(it.queues.reassembly),
        dead_letters,
    })
}
