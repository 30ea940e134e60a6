//! Named queues in one table.
//!
//! Visibility follows the wall clock, because several processes share the table. A receiver that
//! waits is woken at once by its own process and looks for other processes' changes now and then;
//! it takes the write lock only when there is something to take.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parallax_job::Timestamp;
use parallax_ports::{
    Clock, Depth, Entry, Error, Kind, Message, Queue, QueueLook, Receipt, Result,
};
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Transaction, params};
use tokio::time::{Instant, timeout_at};

use crate::Database;
use crate::database::Durability;

/// The most messages that one call takes, as in SQS.
const BATCH: usize = 10;

/// One named queue.
#[derive(Debug, Clone)]
pub struct SqliteQueue {
    db: Arc<Database>,
    name: String,
    clock: Arc<dyn Clock>,
    dead_letter: Option<DeadLetter>,
    poll: Duration,
}

#[derive(Debug, Clone)]
struct DeadLetter {
    queue: String,
    max_receives: u32,
}

impl SqliteQueue {
    /// The queue called `name`. Handles of the same name are the same queue.
    pub fn new(db: Arc<Database>, name: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        let poll = Duration::from_millis(100);
        Self { db, name: name.into(), clock, dead_letter: None, poll }
    }

    /// Moves messages that were received `max_receives` times to the queue called `queue`
    /// instead of delivering them once more, with attributes that say where they came from.
    #[must_use]
    pub fn with_dead_letter(mut self, queue: impl Into<String>, max_receives: u32) -> Self {
        self.dead_letter = Some(DeadLetter { queue: queue.into(), max_receives });
        self
    }

    /// How often a waiting receiver looks for what other processes sent. Defaults to 100 ms.
    #[must_use]
    pub fn with_poll(mut self, poll: Duration) -> Self {
        self.poll = poll;
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes every hidden message visible and returns their number: right after the start of the
    /// only process that receives, when whoever hid them is gone. Their receive counts stay, so
    /// that a message that kills its receiver still reaches the dead-letter queue.
    ///
    /// # Errors
    /// As every call.
    pub async fn release_all(&self) -> Result<usize> {
        let (name, now) = (self.name.clone(), self.clock.now());
        let released = self.db.write(Durability::Ordered, move |tx| {
            tx.prepare_cached(
                "UPDATE messages SET visible_at = ?2 WHERE queue = ?1 AND visible_at > ?2",
            )?
            .execute(params![name, now.0])
        });
        let released = released.await?;
        self.db.changed.notify_waiters();
        Ok(released)
    }

    /// How many messages it holds.
    ///
    /// # Errors
    /// As every call.
    pub async fn depth(&self) -> Result<Depth> {
        let (name, now) = (self.name.clone(), self.clock.now());
        self.db
            .read(move |db| {
                let sql = "SELECT count(*) FILTER (WHERE visible_at <= ?2),
                                  count(*) FILTER (WHERE visible_at > ?2)
                           FROM messages WHERE queue = ?1";
                db.prepare_cached(sql)?.query_row(params![name, now.0], |row| {
                    let count = |i| row.get::<_, i64>(i).map(|n| u64::try_from(n).unwrap_or(0));
                    Ok(Depth { visible: count(0)?, hidden: count(1)? })
                })
            })
            .await
    }

    /// Looks at messages without receiving them, oldest first.
    ///
    /// # Errors
    /// As every call.
    pub async fn peek(&self, limit: usize) -> Result<Vec<Entry>> {
        let name = self.name.clone();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.db
            .read(move |db| {
                let sql = "SELECT id, body, attributes, receive_count, sent_at
                           FROM messages WHERE queue = ?1 ORDER BY id LIMIT ?2";
                let mut statement = db.prepare_cached(sql)?;
                let entries = statement.query_map(params![name, limit], |row| {
                    Ok(Entry {
                        id: row.get::<_, i64>(0)?.to_string(),
                        body: row.get(1)?,
                        attributes: attributes(&row.get::<_, String>(2)?)?,
                        receive_count: row.get(3)?,
                        sent_at: Timestamp(row.get(4)?),
                    })
                })?;
                entries.collect()
            })
            .await
    }

    /// When the next message is visible.
    async fn next_at(&self) -> Result<Option<Timestamp>> {
        let name = self.name.clone();
        self.db
            .read(move |db| {
                let sql = "SELECT visible_at FROM messages WHERE queue = ?1
                           ORDER BY visible_at LIMIT 1";
                let mut statement = db.prepare_cached(sql)?;
                statement.query_row([name], |row| Ok(Timestamp(row.get(0)?))).optional()
            })
            .await
    }

    async fn take(&self, max: usize, visibility: Duration) -> Result<Vec<Message>> {
        let now = self.clock.now();
        let until = now + visibility;
        let (name, dead) = (self.name.clone(), self.dead_letter.clone());
        let taken = self.db.write(Durability::Ordered, move |tx| {
            let moved = match &dead {
                Some(dead) => bury(tx, &name, dead, now)?,
                None => 0,
            };
            let sql = "UPDATE messages SET visible_at = ?3, receive_count = receive_count + 1
                       WHERE id IN (SELECT id FROM messages WHERE queue = ?1 AND visible_at <= ?2
                                    ORDER BY visible_at, id LIMIT ?4)
                       RETURNING id, receive_count, body";
            let mut statement = tx.prepare_cached(sql)?;
            let max = i64::try_from(max).unwrap_or(i64::MAX);
            let rows = statement.query_map(params![name, now.0, until.0, max], |row| {
                let (id, receive_count): (i64, u32) = (row.get(0)?, row.get(1)?);
                let receipt = Receipt(format!("{id}:{receive_count}"));
                let message =
                    Message { id: id.to_string(), receipt, body: row.get(2)?, receive_count };
                Ok((id, message))
            })?;
            let mut rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            rows.sort_by_key(|(id, _)| *id);
            Ok((rows.into_iter().map(|(_, message)| message).collect(), moved))
        });
        let (messages, moved) = taken.await?;
        if moved > 0 {
            tracing::warn!(queue = self.name, moved, "messages moved to the dead-letter queue");
            self.db.changed.notify_waiters();
        }
        Ok(messages)
    }

    /// Changes the one delivery that `receipt` names, if it is the message's latest.
    async fn settle(&self, receipt: &Receipt, visible_at: Option<Timestamp>) -> Result<()> {
        let parts = receipt.0.split_once(':');
        let parsed =
            parts.and_then(|(id, n)| Some((id.parse::<i64>().ok()?, n.parse::<u32>().ok()?)));
        // What never was a receipt of ours is as stale as can be.
        let Some((id, count)) = parsed else { return Ok(()) };
        let name = self.name.clone();
        self.db
            .write(Durability::Ordered, move |tx| match visible_at {
                None => tx
                    .prepare_cached(
                        "DELETE FROM messages
                         WHERE id = ?1 AND receive_count = ?2 AND queue = ?3",
                    )?
                    .execute(params![id, count, name]),
                Some(at) => tx
                    .prepare_cached(
                        "UPDATE messages SET visible_at = ?4
                         WHERE id = ?1 AND receive_count = ?2 AND queue = ?3",
                    )?
                    .execute(params![id, count, name, at.0]),
            })
            .await?;
        Ok(())
    }
}

/// Moves visible messages that were received too often; returns their number.
fn bury(
    tx: &Transaction<'_>,
    name: &str,
    dead: &DeadLetter,
    now: Timestamp,
) -> rusqlite::Result<usize> {
    let sql = "SELECT id, body, attributes, receive_count FROM messages
               WHERE queue = ?1 AND visible_at <= ?2 AND receive_count >= ?3";
    let mut statement = tx.prepare_cached(sql)?;
    let found = statement.query_map(params![name, now.0, dead.max_receives], |row| {
        let body: String = row.get(1)?;
        Ok((row.get::<_, i64>(0)?, body, row.get::<_, String>(2)?, row.get::<_, u32>(3)?))
    })?;
    let found = found.collect::<rusqlite::Result<Vec<_>>>()?;
    for (id, body, sent_with, receive_count) in &found {
        let mut all = attributes(sent_with)?;
        all.push(("reason".to_owned(), "exhausted".to_owned()));
        all.push(("src_queue".to_owned(), name.to_owned()));
        all.push(("src_message_id".to_owned(), id.to_string()));
        all.push(("receive_count".to_owned(), receive_count.to_string()));
        add(tx, &dead.queue, body, &json(&all), now)?;
        tx.prepare_cached("DELETE FROM messages WHERE id = ?1")?.execute([id])?;
    }
    Ok(found.len())
}

fn add(
    tx: &Transaction<'_>,
    queue: &str,
    body: &str,
    attributes: &str,
    now: Timestamp,
) -> rusqlite::Result<usize> {
    tx.prepare_cached(
        "INSERT INTO messages (queue, body, attributes, sent_at, visible_at)
         VALUES (?1, ?2, ?3, ?4, ?4)",
    )?
    .execute(params![queue, body, attributes, now.0])
}

fn json(attributes: &[(impl serde::Serialize, impl serde::Serialize)]) -> String {
    // Pairs of strings: serialisation cannot fail.
    serde_json::to_string(attributes).unwrap_or_default()
}

fn attributes(text: &str) -> rusqlite::Result<Vec<(String, String)>> {
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(2, Type::Text, error.into()))
}

#[async_trait]
impl Queue for SqliteQueue {
    async fn receive(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Message>> {
        if max == 0 {
            return Err(Error::new(Kind::Rejected, format!("queue {}: max is 0", self.name)));
        }
        let until = Instant::now() + wait;
        loop {
            // Made before looking, so that a change in between is not missed.
            let changed = self.db.changed.notified();
            let next = self.next_at().await?;
            let now = self.clock.now();
            if next.is_some_and(|at| at <= now) {
                let messages = self.take(max.min(BATCH), visibility).await?;
                if !messages.is_empty() {
                    return Ok(messages);
                }
                // Another receiver was quicker, or what was there has been buried.
            }
            let at = Instant::now();
            if at >= until {
                return Ok(Vec::new());
            }
            let mut wake = until.min(at + self.poll);
            if let Some(next) = next.filter(|next| *next > now) {
                wake = wake.min(at + next.since(now));
            }
            // Either a change or the time: both mean "look again".
            let _ = timeout_at(wake, changed).await;
        }
    }

    async fn delete(&self, receipt: &Receipt) -> Result<()> {
        self.settle(receipt, None).await
    }

    async fn change_visibility(&self, receipt: &Receipt, visibility: Duration) -> Result<()> {
        self.settle(receipt, Some(self.clock.now() + visibility)).await?;
        self.db.changed.notify_waiters();
        Ok(())
    }

    async fn send(&self, body: &str, attributes: &[(&str, &str)]) -> Result<()> {
        let (name, now) = (self.name.clone(), self.clock.now());
        let (body, attributes) = (body.to_owned(), json(attributes));
        self.db
            .write(Durability::Ordered, move |tx| add(tx, &name, &body, &attributes, now))
            .await?;
        self.db.changed.notify_waiters();
        Ok(())
    }
}

#[async_trait]
impl QueueLook for SqliteQueue {
    async fn depth(&self) -> Result<Depth> {
        SqliteQueue::depth(self).await
    }

    async fn peek(&self, limit: usize) -> Result<Vec<Entry>> {
        SqliteQueue::peek(self, limit).await
    }
}
