//! What there is to see, read from the stores.

mod jobs;
mod overview;
mod permits;
mod queues;
mod records;

pub(crate) use jobs::{JobPage, JobsPage};
pub(crate) use overview::{Group, Overview};
pub(crate) use permits::{Permit, Permits};
pub(crate) use queues::{DeadQueue, Letter, Queues, RoleState};
pub(crate) use records::{ActsPage, ReplicaState, ReplicasPage};

use parallax_ports::Error;
use parallax_web::Refusal;
use serde::Serialize;

use crate::console::Shared;
use crate::redact::redact;
use crate::topic::Topic;
use crate::view::{View, refusal};
use crate::views;

/// Gathers one moment of `topic`. How many calls of the stores that takes depends on the topic, and for one job on
/// its segments; never on how many jobs there are.
///
/// # Errors
/// 404 when there is no such thing; otherwise what the stores say.
pub(crate) async fn gather(shared: &Shared, topic: &Topic) -> Result<View, Refusal> {
    let told = |error: Error| refusal(&error, |why| shared.redacted(why));
    let acts = shared.can_act();
    match topic {
        Topic::Overview => {
            let found = overview::overview(shared).await.map_err(told)?;
            Ok(view(&found, views::overview(&found, acts)))
        }
        Topic::Jobs { status, after } => {
            let found = jobs::page(shared, *status, after.as_ref()).await.map_err(told)?;
            Ok(view(&found, views::jobs(&found)))
        }
        Topic::Job(id) => {
            let found = jobs::job(shared, id).await.map_err(told)?.ok_or_else(Refusal::nothing)?;
            Ok(view(&found, views::job(&found, acts)))
        }
        Topic::Permits => {
            let found = permits::permits(shared).await.map_err(told)?;
            Ok(view(&found, views::permits(&found)))
        }
        Topic::Queues => {
            let found = queues::queues(shared).await.map_err(told)?;
            Ok(view(&found, views::queues(&found, acts)))
        }
        Topic::Replicas => {
            let found = records::replicas(shared).await.map_err(told)?;
            Ok(view(&found, views::replicas(&found)))
        }
        Topic::Acts { before } => {
            let found = records::acts(shared, *before).await.map_err(told)?;
            Ok(view(&found, views::acts(&found)))
        }
    }
}

fn view(found: &impl Serialize, (title, said, html): (String, String, maud::Markup)) -> View {
    // Plain structs of numbers and texts: serialisation cannot fail.
    let data = serde_json::to_value(found).unwrap_or_default();
    View { title, html: html.into_string(), data, said }
}

impl Shared {
    /// Whether anybody may act.
    pub(crate) fn can_act(&self) -> bool {
        self.settings.token.is_some()
    }

    /// Somebody's text as it may be shown.
    pub(crate) fn redacted(&self, text: &str) -> String {
        let token = self.settings.token.as_ref().map(|token| token.now());
        let mut secrets = self.settings.secrets.clone();
        secrets.extend(token);
        redact(text, &secrets)
    }
}
