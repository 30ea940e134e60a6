//! Reading what a verb decides on: everything in one consistent request.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::KeysAndAttributes;
use parallax_ports::{Error, Kind, Result};

use super::invocations::{KEY, to_holders, to_row};
use super::item::{Item, n, s};
use super::jobs::{to_completion, to_job, to_trigger};
use super::keys;
use super::retry::Tries;
use super::snapshot::{Read, Snapshot, Wanted};
use super::store::Store;
use crate::error::translate;

/// The most keys that one request may name.
const KEYS_AT_ONCE: usize = 100;

/// What is known of something before the answer is looked at.
fn asked_for<W, T>(wanted: Option<W>) -> Read<T> {
    wanted.map_or(Read::Skipped, |_| Read::Absent)
}

fn key(name: &str, value: impl ToString) -> Item {
    Item::from([(name.to_owned(), s(value))])
}

impl Store {
    /// Reads what is wanted.
    pub(super) async fn read(&self, wanted: &Wanted<'_>) -> Result<Snapshot> {
        let tables = &self.tables;
        let permits = keys::permits(&self.pool);
        let mut asked: Vec<(&str, Item)> = Vec::new();
        if let Some(segment) = wanted.segment {
            asked.push((&tables.invocations, key(KEY, keys::segment(segment))));
        }
        if wanted.permits {
            asked.push((&tables.invocations, key(KEY, &permits)));
        }
        if let Some(segment) = wanted.completion_of.filter(|_| !tables.completions.is_empty()) {
            let mut both = key("job_id", &segment.job_id);
            both.insert("segment_index".to_owned(), n(segment.index));
            asked.push((&tables.completions, both));
        }
        if let Some(job_id) = wanted.job {
            asked.push((&tables.jobs, key("job_id", job_id)));
        }
        if let Some(job_id) = wanted.trigger {
            asked.push((&tables.triggers, key("job_id", job_id)));
        }
        let mut snapshot = Snapshot {
            row: asked_for(wanted.segment),
            completion: asked_for(wanted.completion_of),
            job: asked_for(wanted.job),
            trigger: asked_for(wanted.trigger),
            holders: if wanted.permits { Read::Absent } else { Read::Skipped },
        };
        for (table, item) in self.get_many(asked).await? {
            if table == tables.jobs {
                snapshot.job = Read::Found((to_job(&item)?, item));
            } else if table == tables.triggers {
                snapshot.trigger = Read::Found((to_trigger(&item)?, item));
            } else if table == tables.completions {
                snapshot.completion = Read::Found(to_completion(&item)?);
            } else if item.get(KEY) == Some(&s(&permits)) {
                snapshot.holders = Read::Found(to_holders(&item)?);
            } else if let Some(segment) = wanted.segment {
                snapshot.row = Read::Found(to_row(segment, &item)?);
            }
        }
        Ok(snapshot)
    }

    /// Consistent reads of any number of items; those that do not exist are left out.
    pub(super) async fn get_many(&self, asked: Vec<(&str, Item)>) -> Result<Vec<(String, Item)>> {
        let mut found = Vec::with_capacity(asked.len());
        for some in asked.chunks(KEYS_AT_ONCE) {
            let mut open: HashMap<String, Vec<Item>> = HashMap::new();
            for (table, key) in some {
                open.entry((*table).to_owned()).or_default().push(key.clone());
            }
            let mut tries = Tries::default();
            while !open.is_empty() {
                let mut request = HashMap::new();
                for (table, keys) in open {
                    let keys = KeysAndAttributes::builder()
                        .set_keys(Some(keys))
                        .consistent_read(true)
                        .build()
                        .map_err(malformed)?;
                    request.insert(table, keys);
                }
                let call = self.client.batch_get_item().set_request_items(Some(request));
                let answer =
                    call.send().await.map_err(|error| translate("read the ledger", error))?;
                for (table, items) in answer.responses.unwrap_or_default() {
                    found.extend(items.into_iter().map(|item| (table.clone(), item)));
                }
                let left = answer.unprocessed_keys.unwrap_or_default();
                open = left.into_iter().map(|(table, keys)| (table, keys.keys)).collect();
                if !open.is_empty() {
                    tries.pause(&self.ids, Kind::Throttled, "read the ledger").await?;
                }
            }
        }
        Ok(found)
    }
}

/// A request that this code built wrongly.
pub(super) fn malformed(error: aws_sdk_dynamodb::error::BuildError) -> Error {
    Error::new(Kind::Internal, "build a request to the ledger").with_source(error)
}
