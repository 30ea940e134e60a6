//! What lies in the queues, and what was set aside.

use futures::future::join_all;
use futures::join;
use parallax_job::Timestamp;
use parallax_ports::{Depth, Entry, Result};
use parallax_worker::Role;
use serde::Serialize;

use crate::settings::NamedQueue;
use crate::source::Source;

/// Dead letters that are shown of each queue.
const SHOWN: usize = 20;
/// The longest that is shown of a message, in characters.
const PREVIEW: usize = 600;

/// All queues.
#[derive(Debug, Serialize)]
pub(crate) struct Queues {
    pub(crate) queues: Vec<QueueDepth>,
    pub(crate) dead_letters: Vec<DeadQueue>,
    /// The roles that receive from queues.
    pub(crate) roles: Vec<RoleState>,
}

/// A queue and how much is in it.
#[derive(Debug, Serialize)]
pub(crate) struct QueueDepth {
    pub(crate) name: String,
    pub(crate) depth: Option<Depth>,
    /// Why it could not be looked at: the process that serves this may lack the right to.
    pub(crate) trouble: Option<String>,
}

/// A queue of dead letters and some of them.
#[derive(Debug, Serialize)]
pub(crate) struct DeadQueue {
    #[serde(flatten)]
    pub(crate) queue: QueueDepth,
    pub(crate) letters: Vec<Letter>,
}

/// A dead letter.
#[derive(Debug, Serialize)]
pub(crate) struct Letter {
    pub(crate) id: String,
    /// Why it was set aside; `None` where its queue gave it up without a word.
    pub(crate) reason: Option<String>,
    /// What else was said of it.
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) sent_at: Timestamp,
    /// Its body, or the beginning of it.
    pub(crate) preview: String,
    pub(crate) is_cut: bool,
}

/// Whether a role receives.
#[derive(Debug, Serialize)]
pub(crate) struct RoleState {
    pub(crate) role: String,
    pub(crate) is_paused: bool,
}

pub(crate) async fn queues(source: &Source) -> Result<Queues> {
    let deployment = &source.deployment;
    let depths = join_all(deployment.queues.iter().map(|named| depth(source, named)));
    let dead = join_all(deployment.dead_letters.iter().map(|named| dead(source, named)));
    let (queues, dead_letters, paused) = join!(depths, dead, deployment.operator.switches.paused());
    let paused = paused?;
    let roles = Role::RECEIVING.map(|role| RoleState {
        role: role.as_str().to_owned(),
        is_paused: paused.contains(role.as_str()),
    });
    Ok(Queues { queues, dead_letters, roles: roles.into() })
}

async fn depth(source: &Source, named: &NamedQueue) -> QueueDepth {
    let (depth, trouble) = match named.queue.depth().await {
        Ok(depth) => (Some(depth), None),
        Err(error) => (None, Some(source.redacted(&error.chain()))),
    };
    QueueDepth { name: named.name.clone(), depth, trouble }
}

async fn dead(source: &Source, named: &NamedQueue) -> DeadQueue {
    let mut queue = depth(source, named).await;
    let found = match queue.depth {
        Some(Depth { visible: 1.., .. }) => named.queue.peek(SHOWN).await,
        _ => Ok(Vec::new()),
    };
    let entries = found.unwrap_or_else(|error| {
        queue.trouble = Some(source.redacted(&error.chain()));
        Vec::new()
    });
    let letters = entries.into_iter().map(|entry| letter(source, entry)).collect();
    DeadQueue { queue, letters }
}

fn letter(source: &Source, entry: Entry) -> Letter {
    let body = source.redacted(&entry.body);
    let preview: String = body.chars().take(PREVIEW).collect();
    let mut attributes: Vec<_> =
        entry.attributes.into_iter().map(|(name, value)| (name, source.redacted(&value))).collect();
    let reason = attributes.iter().position(|(name, _)| name == "reason");
    let reason = reason.map(|at| attributes.remove(at).1);
    Letter {
        id: entry.id,
        reason,
        attributes,
        sent_at: entry.sent_at,
        is_cut: preview.len() < body.len(),
        preview,
    }
}
