//! Rows for whoever watches over the deployment.

use parallax_job::Timestamp;
use parallax_ports::{Act, Replica};
use rusqlite::{Result, params};

use super::rows::{Rows, json, parse};

impl Rows<'_> {
    pub(super) fn put_replica(&self, replica: &Replica, forgotten: Timestamp) -> Result<()> {
        self.run("DELETE FROM replicas WHERE seen < ?1", [forgotten.0])?;
        let sql = "INSERT OR REPLACE INTO replicas (id, seen, row) VALUES (?1, ?2, ?3)";
        self.run(sql, params![replica.id, replica.seen.0, json(replica)?])
    }

    pub(super) fn remove_replica(&self, id: &str) -> Result<()> {
        self.run("DELETE FROM replicas WHERE id = ?1", [id])
    }

    pub(super) fn replicas(&self) -> Result<Vec<Replica>> {
        self.list("SELECT row FROM replicas ORDER BY id", [])
    }

    pub(super) fn add_act(&self, act: &Act) -> Result<u64> {
        self.run("INSERT INTO acts (row) VALUES (?1)", [json(act)?])?;
        Ok(self.0.last_insert_rowid().try_into().unwrap_or(0))
    }

    pub(super) fn end_act(&self, number: u64, outcome: String) -> Result<()> {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        let act: Option<Act> = self.one("SELECT row FROM acts WHERE number = ?1", [number])?;
        let Some(act) = act else { return Ok(()) };
        let act = Act { outcome: Some(outcome), ..act };
        self.run("UPDATE acts SET row = ?2 WHERE number = ?1", params![number, json(&act)?])
    }

    pub(super) fn latest_acts(&self, before: Option<u64>, limit: usize) -> Result<Vec<(u64, Act)>> {
        let before = before.and_then(|n| i64::try_from(n).ok()).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = "SELECT number, row FROM acts WHERE number < ?1 ORDER BY number DESC LIMIT ?2";
        let mut statement = self.0.prepare_cached(sql)?;
        let found = statement.query_map([before, limit], |row| {
            let number = u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0);
            Ok((number, parse(row.get_ref(1)?.as_str()?)?))
        })?;
        found.collect()
    }
}
