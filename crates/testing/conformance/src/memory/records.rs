//! Replicas and acts in vectors under one lock.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use parallax_ports::{Act, Acts, REPLICA_FORGOTTEN, Replica, Replicas, Result};

use super::lock;

/// Records that live as long as the process.
#[derive(Debug, Default)]
pub struct MemoryRecords {
    replicas: Mutex<BTreeMap<String, Replica>>,
    acts: Mutex<Vec<Act>>,
}

#[async_trait]
impl Replicas for MemoryRecords {
    async fn announce(&self, replica: &Replica) -> Result<()> {
        let mut all = lock(&self.replicas);
        all.retain(|_, known| known.seen >= replica.seen - REPLICA_FORGOTTEN);
        all.insert(replica.id.clone(), replica.clone());
        Ok(())
    }

    async fn leave(&self, id: &str) -> Result<()> {
        lock(&self.replicas).remove(id);
        Ok(())
    }

    async fn replicas(&self) -> Result<Vec<Replica>> {
        Ok(lock(&self.replicas).values().cloned().collect())
    }
}

#[async_trait]
impl Acts for MemoryRecords {
    async fn begin(&self, act: &Act) -> Result<u64> {
        let mut acts = lock(&self.acts);
        acts.push(act.clone());
        Ok(acts.len() as u64)
    }

    async fn end(&self, number: u64, outcome: &str) -> Result<()> {
        let index = usize::try_from(number).unwrap_or(0).wrapping_sub(1);
        if let Some(act) = lock(&self.acts).get_mut(index) {
            act.outcome = Some(outcome.to_owned());
        }
        Ok(())
    }

    async fn latest_acts(&self, before: Option<u64>, limit: usize) -> Result<Vec<(u64, Act)>> {
        let acts = lock(&self.acts);
        let numbered = (1u64..).zip(acts.iter().cloned());
        let mut found: Vec<_> =
            numbered.filter(|(number, _)| before.is_none_or(|b| *number < b)).collect();
        found.reverse();
        found.truncate(limit);
        Ok(found)
    }
}
