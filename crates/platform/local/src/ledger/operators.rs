//! What operators ask of the embedded ledger.

use std::collections::BTreeSet;

use async_trait::async_trait;
use parallax_job::{JobId, JobStatus, Timestamp};
use parallax_ports::ledger::Job;
use parallax_ports::ledger::rules::{self, Change};
use parallax_ports::{
    Act, Acts, Error, Kind, OperatorLedger, Place, REPLICA_FORGOTTEN, Replica, Replicas, Result,
    Switches,
};

use super::SqliteLedger;
use crate::database::Durability;

#[async_trait]
impl OperatorLedger for SqliteLedger {
    async fn latest_jobs(
        &self,
        status: JobStatus,
        from: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Job>> {
        let from = from.cloned();
        self.read(move |rows| rows.latest_jobs(status, from.as_ref(), limit)).await
    }

    async fn uploaded(&self, job_id: &JobId, bytes: u64, now: Timestamp) -> Result<bool> {
        let job_id = job_id.clone();
        self.commit(Durability::Ordered, move |rows| {
            Ok(rules::uploaded(rows.job(&job_id)?.as_ref(), bytes, now))
        })
        .await
    }

    async fn reassembling_until(&self, job_id: &JobId) -> Result<Option<Timestamp>> {
        let job_id = job_id.clone();
        self.read(move |rows| Ok(rules::reassembling_until(rows.trigger(&job_id)?.as_ref()))).await
    }

    async fn forget(&self, job_id: &JobId) -> Result<usize> {
        let of_thread = job_id.clone();
        let done = self.commit(Durability::Ordered, move |rows| {
            let (job, segments) = (rows.job(&of_thread)?, rows.segments(&of_thread)?);
            let done = match rules::may_forget(job.as_ref(), &segments) {
                Ok(()) => Ok(rows.forget_job(&of_thread)?),
                Err(why) => Err(why),
            };
            Ok((done, Change::default()))
        });
        done.await?.map_err(|why| Error::new(Kind::Rejected, format!("forget job {job_id}: {why}")))
    }
}

#[async_trait]
impl Switches for SqliteLedger {
    async fn paused(&self) -> Result<BTreeSet<String>> {
        self.read(|rows| rows.paused()).await
    }

    async fn set_paused(&self, role: &str, paused: bool) -> Result<bool> {
        let role = role.to_owned();
        self.commit(Durability::Ordered, move |rows| {
            Ok((rows.set_paused(&role, paused)?, Change::default()))
        })
        .await
    }
}

#[async_trait]
impl Replicas for SqliteLedger {
    async fn announce(&self, replica: &Replica) -> Result<()> {
        let (replica, forgotten) = (replica.clone(), replica.seen - REPLICA_FORGOTTEN);
        self.commit(Durability::Ordered, move |rows| {
            Ok((rows.put_replica(&replica, forgotten)?, Change::default()))
        })
        .await
    }

    async fn leave(&self, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.commit(Durability::Ordered, move |rows| {
            Ok((rows.remove_replica(&id)?, Change::default()))
        })
        .await
    }

    async fn replicas(&self) -> Result<Vec<Replica>> {
        self.read(|rows| rows.replicas()).await
    }
}

#[async_trait]
impl Acts for SqliteLedger {
    async fn begin(&self, act: &Act) -> Result<u64> {
        let act = act.clone();
        self.commit(Durability::Ordered, move |rows| Ok((rows.add_act(&act)?, Change::default())))
            .await
    }

    async fn end(&self, number: u64, outcome: &str) -> Result<()> {
        let outcome = outcome.to_owned();
        self.commit(Durability::Ordered, move |rows| {
            Ok((rows.end_act(number, outcome)?, Change::default()))
        })
        .await
    }

    async fn latest_acts(&self, before: Option<u64>, limit: usize) -> Result<Vec<(u64, Act)>> {
        self.read(move |rows| rows.latest_acts(before, limit)).await
    }
}
