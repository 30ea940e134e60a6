//! A decision of the rules, made until nobody was quicker.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use parallax_ports::ledger::rules::Change;
use parallax_ports::{Error, Kind, Result};

use super::invocations::{HOLDERS, KEY, to_holders};
use super::item::{Expression, Item, s};
use super::keys;
use super::plan::{Plan, Terms};
use super::retry::Tries;
use super::snapshot::{Read, Snapshot, Wanted};
use super::store::{DynamoLedger, Store};
use super::write::{Write, Written, refused};

impl DynamoLedger {
    /// Asks the rule about what is believed or read, and writes; again until nobody was quicker.
    pub(super) async fn decide<T>(
        &self,
        what: &str,
        wanted: Wanted<'_>,
        terms: Terms,
        rule: impl Fn(&Snapshot) -> (T, Change) + Send + Sync,
    ) -> Result<T>
    where
        T: Send,
    {
        if let Some(guess) = self.beliefs.guess(&wanted, terms.fresh) {
            let (answer, change) = rule(&guess);
            match self.commit(&guess, &change, terms).await? {
                Written::Yes => {
                    self.beliefs.stored(&guess, &change);
                    return Ok(answer);
                }
                // To change nothing may be right, but only on what is true.
                Written::Nothing => {}
                _ => self.beliefs.forget(&wanted),
            }
        }
        self.settle(what, wanted, terms, rule).await
    }

    /// Reads, asks the rule, writes; again until nobody was quicker.
    pub(super) async fn settle<T>(
        &self,
        what: &str,
        wanted: Wanted<'_>,
        mut terms: Terms,
        rule: impl Fn(&Snapshot) -> (T, Change) + Send + Sync,
    ) -> Result<T>
    where
        T: Send,
    {
        let mut tries = Tries::default();
        loop {
            let seen = self.store.read(&wanted).await?;
            self.beliefs.learn(&seen);
            let (answer, change) = rule(&seen);
            if change.put_holder.is_some() && seen.holders == Read::Absent {
                self.make_pool().await?;
            } else if self.stored(&seen, &change, &mut terms).await? {
                self.beliefs.stored(&seen, &change);
                return Ok(answer);
            }
            tries.pause(&self.store.ids, Kind::Conflict, what).await?;
        }
    }

    /// Stores a change; false when it has to be decided anew.
    pub(super) async fn stored(
        &self,
        seen: &Snapshot,
        change: &Change,
        terms: &mut Terms,
    ) -> Result<bool> {
        match self.commit(seen, change, *terms).await? {
            Written::Yes | Written::Nothing => return Ok(true),
            Written::Outdated => {}
            Written::NoPool => self.make_pool().await?,
            Written::Full if terms.skip_due => {
                return Err(Error::new(Kind::Rejected, "an item of the ledger is full"));
            }
            Written::Full => terms.skip_due = true,
        }
        Ok(false)
    }

    /// Stores a rule's answer.
    pub(super) async fn commit(
        &self,
        seen: &Snapshot,
        change: &Change,
        terms: Terms,
    ) -> Result<Written> {
        let writes = self.plan(seen, change, terms).writes();
        if writes.is_empty() {
            return Ok(Written::Nothing);
        }
        let written = self.store.write(writes).await?;
        if let (Written::Yes, Read::Absent, Some(row)) = (written, &seen.row, &change.segment) {
            self.remember_cut(row);
        }
        Ok(written)
    }

    /// Stores a change of the permits alone, and learns from the reply who holds them now. `None`
    /// when somebody was quicker.
    pub(super) async fn commit_permits(
        &self,
        seen: &Snapshot,
        change: &Change,
        terms: Terms,
    ) -> Result<Option<Snapshot>> {
        let plan = self.plan(seen, change, terms);
        let Some(Write::Update { table, key, e }) = plan.permits() else { return Ok(None) };
        let call = self.store.update(table, key, &e).return_values(ReturnValue::AllNew);
        match call.send().await {
            Ok(answer) => {
                let holders = to_holders(&answer.attributes.unwrap_or_default())?;
                let seen = Snapshot { holders: Read::Found(holders), ..Snapshot::default() };
                self.beliefs.learn(&seen);
                Ok(Some(seen))
            }
            Err(error) => refused(error).map(|_| None),
        }
    }

    fn plan<'a>(&'a self, seen: &'a Snapshot, change: &'a Change, terms: Terms) -> Plan<'a> {
        let knows_cut = change.segment.as_ref().is_some_and(|row| self.knows_cut(row));
        let (Store { tables, pool, .. }, completes) = (&self.store, self.completes);
        Plan { tables, pool, completes, knows_cut, seen, change, terms }
    }

    /// Makes the pool's item, unless it is there.
    async fn make_pool(&self) -> Result<()> {
        let mut e = Expression::default();
        let map = e.name(HOLDERS);
        e.set(&map, AttributeValue::M(Item::new()));
        e.require(format!("attribute_not_exists({map})"));
        let key = Item::from([(KEY.to_owned(), s(keys::permits(&self.store.pool)))]);
        let table = self.store.tables.invocations.clone();
        self.store.write(vec![Write::Update { table, key, e }]).await.map(drop)
    }
}
