//! One moment of a topic: gathered, and written for pages and for programs.

use parallax_ports::Error;
use parallax_web::Refusal;
use serde::Serialize;

use crate::source::Source;
use crate::topic::Topic;
use crate::view::{View, refusal};
use crate::views::Parts;
use crate::{gather, views};

/// Gathers one moment of `topic`.
///
/// # Errors
/// 404 when there is no such thing; otherwise what the stores say.
pub(crate) async fn moment(source: &Source, topic: &Topic) -> Result<View, Refusal> {
    let told = |error: Error| refusal(&error, |why| source.redacted(why));
    let acts = source.can_act();
    match topic {
        Topic::Overview => {
            let found = gather::overview(source).await.map_err(told)?;
            Ok(view(&found, views::overview(&found, acts)))
        }
        Topic::Jobs { status, after } => {
            let found = gather::page(source, *status, after.as_ref()).await.map_err(told)?;
            Ok(view(&found, views::jobs(&found)))
        }
        Topic::Job(id) => {
            let found =
                gather::job(source, id).await.map_err(told)?.ok_or_else(Refusal::nothing)?;
            Ok(view(&found, views::job(&found, acts)))
        }
        Topic::Permits => {
            let found = gather::permits(source).await.map_err(told)?;
            Ok(view(&found, views::permits(&found)))
        }
        Topic::Queues => {
            let found = gather::queues(source).await.map_err(told)?;
            Ok(view(&found, views::queues(&found, acts)))
        }
        Topic::Replicas => {
            let found = gather::replicas(source).await.map_err(told)?;
            Ok(view(&found, views::replicas(&found)))
        }
        Topic::Acts { before } => {
            let found = gather::acts(source, *before).await.map_err(told)?;
            Ok(view(&found, views::acts(&found)))
        }
    }
}

fn view(found: &impl Serialize, parts: Parts) -> View {
    // Plain structs of numbers and texts: serialisation cannot fail.
    let data = serde_json::to_value(found).unwrap_or_default();
    View { title: parts.title, html: parts.html.into_string(), data, said: parts.said }
}
