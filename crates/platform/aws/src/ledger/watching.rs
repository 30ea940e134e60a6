//! Replicas and acts in the table of inference invocations, which is read by key alone:
//! - `replicas`: an attribute for each replica, with what it said last.
//! - `acts`: the number of the latest act.
//! - `act#{number}`: an act. A number without one was drawn by a process that ended before it wrote.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use parallax_job::Timestamp;
use parallax_ports::{Act, Acts, Error, Kind, REPLICA_FORGOTTEN, Replica, Replicas, Result};

use super::invocations::{KEY, TTL, expiry};
use super::item::{Attributes, Expression, Item, n, s};
use super::keys;
use super::store::{DynamoLedger, Store};
use crate::error::translate;

/// Before the names of attributes that are replicas.
const REPLICA: &str = "replica ";
/// The counter of acts.
const LAST: &str = "last";

fn own(name: impl ToString) -> Item {
    Item::from([(KEY.to_owned(), s(name))])
}

/// The replicas of their item; what no release of ours wrote is left out.
fn replicas(item: &Item) -> Vec<Replica> {
    let texts = item.iter().filter(|(name, _)| name.starts_with(REPLICA));
    let read = |value: &AttributeValue| serde_json::from_str(value.as_s().ok()?).ok();
    let mut found: Vec<Replica> = texts.filter_map(|(_, value)| read(value)).collect();
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found
}

/// Changes one of the ledger's own items, and gives it as it is then.
async fn change(store: &Store, what: &str, key: Item, e: &Expression) -> Result<Item> {
    let call = store.client.update_item().table_name(&store.tables.invocations);
    let answer = call
        .set_key(Some(key))
        .update_expression(e.update())
        .set_condition_expression(e.condition())
        .set_expression_attribute_names(e.names())
        .set_expression_attribute_values(e.values())
        .return_values(ReturnValue::AllNew)
        .send()
        .await
        .map_err(|error| translate(what, error))?;
    Ok(answer.attributes.unwrap_or_default())
}

async fn forget_replicas(store: &Store, ids: impl IntoIterator<Item = &str>) -> Result<()> {
    let mut e = Expression::default();
    for id in ids {
        e.remove_attribute(&format!("{REPLICA}{id}"));
    }
    match e.changes_something() {
        true => change(store, "forget replicas", own(keys::REPLICAS), &e).await.map(drop),
        false => Ok(()),
    }
}

#[async_trait]
impl Replicas for DynamoLedger {
    async fn announce(&self, replica: &Replica) -> Result<()> {
        let text = serde_json::to_string(replica)
            .map_err(|error| Error::new(Kind::Internal, "write a replica").with_source(error))?;
        let mut e = Expression::default();
        e.set_attribute(&format!("{REPLICA}{}", replica.id), s(text));
        let all =
            replicas(&change(&self.store, "announce a replica", own(keys::REPLICAS), &e).await?);
        let old = replica.seen - REPLICA_FORGOTTEN;
        let silent = all.iter().filter(|other| other.seen < old);
        forget_replicas(&self.store, silent.map(|other| &*other.id)).await
    }

    async fn leave(&self, id: &str) -> Result<()> {
        forget_replicas(&self.store, [id]).await
    }

    async fn replicas(&self) -> Result<Vec<Replica>> {
        let asked = vec![(&*self.store.tables.invocations, own(keys::REPLICAS))];
        let found = self.store.get_many(asked).await?;
        Ok(found.first().map_or(Vec::new(), |(_, item)| replicas(item)))
    }
}

#[async_trait]
impl Acts for DynamoLedger {
    async fn begin(&self, act: &Act) -> Result<u64> {
        let mut e = Expression::default();
        e.add(LAST, n(1));
        let counter = change(&self.store, "number an act", own(keys::ACTS), &e).await?;
        let read = Attributes { item: &counter, what: "the number of acts" };
        let number = read.number(LAST).and_then(|number| u64::try_from(number).ok());
        let number = read.need(LAST, number)?;
        let mut item = own(keys::act(number));
        item.extend(
            [
                ("number", n(number)),
                ("at_ms", n(act.at.0)),
                ("who", s(&act.who)),
                ("what", s(&act.what)),
                (TTL, expiry(act.at)),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        if let Some(outcome) = &act.outcome {
            item.insert("outcome".to_owned(), s(outcome));
        }
        let call = self.store.client.put_item().table_name(&self.store.tables.invocations);
        let put = call.set_item(Some(item)).send().await;
        put.map_err(|error| translate("write an act down", error))?;
        Ok(number)
    }

    async fn end(&self, number: u64, outcome: &str) -> Result<()> {
        let mut e = Expression::default();
        e.set_attribute("outcome", s(outcome));
        let there = e.name(KEY);
        e.require(format!("attribute_exists({there})"));
        match change(&self.store, "end an act", own(keys::act(number)), &e).await {
            // It was removed meanwhile, or never was.
            Err(error) if error.kind() == Kind::Conflict => Ok(()),
            done => done.map(drop),
        }
    }

    async fn latest_acts(&self, before: Option<u64>, limit: usize) -> Result<Vec<(u64, Act)>> {
        let table = &*self.store.tables.invocations;
        let mut end = match before {
            Some(before) => before,
            None => {
                let found = self.store.get_many(vec![(table, own(keys::ACTS))]).await?;
                let last = found.first().and_then(|(_, item)| {
                    Attributes { item, what: "the number of acts" }.number(LAST)
                });
                last.and_then(|last| u64::try_from(last).ok()).unwrap_or(0) + 1
            }
        };
        // Numbers without an act are gone past, but not those of a time of which nothing is left: acts expire.
        let mut acts = Vec::new();
        while acts.len() < limit && end > 1 {
            let first = end.saturating_sub(limit as u64).max(1);
            let asked = (first..end).map(|number| (table, own(keys::act(number)))).collect();
            let found = self.store.get_many(asked).await?;
            if found.is_empty() {
                break;
            }
            for (_, item) in &found {
                acts.push(to_act(item)?);
            }
            end = first;
        }
        acts.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        acts.truncate(limit);
        Ok(acts)
    }
}

fn to_act(item: &Item) -> Result<(u64, Act)> {
    let read = Attributes { item, what: "an act" };
    let number = read.number("number").and_then(|number| u64::try_from(number).ok());
    let act = Act {
        at: read.need("at_ms", read.number("at_ms")).map(Timestamp)?,
        who: read.need("who", read.text("who"))?.to_owned(),
        what: read.need("what", read.text("what"))?.to_owned(),
        outcome: read.text("outcome").map(str::to_owned),
    };
    Ok((read.need("number", number)?, act))
}
