//! The queue in a vector under one lock, on tokio's clock.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::lock;
use parallax_job::Timestamp;
use parallax_ports::{Depth, Message, Queue, QueueLook, Receipt, Result};

/// A queue that lives as long as the process.
///
/// What is received is hidden until it is deleted or its time is over:
///
/// ```
/// use std::time::Duration;
///
/// use parallax_conformance::memory::MemoryQueue;
/// use parallax_ports::Queue;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> parallax_ports::Result<()> {
/// let queue = MemoryQueue::default();
/// queue.send("look at clip.mp4", &[]).await?;
///
/// let (now, minute) = (Duration::ZERO, Duration::from_secs(60));
/// let first = queue.receive(10, now, minute).await?;
/// assert_eq!((first[0].body.as_str(), first[0].receive_count), ("look at clip.mp4", 1));
/// assert!(queue.receive(10, now, minute).await?.is_empty());
///
/// // Given back, it comes again under another receipt, and the old one changes nothing any more.
/// queue.change_visibility(&first[0].receipt, now).await?;
/// let second = queue.receive(10, now, minute).await?;
/// assert_eq!((&second[0].id, second[0].receive_count), (&first[0].id, 2));
/// queue.delete(&first[0].receipt).await?;
/// assert_eq!(queue.contents().len(), 1);
/// queue.delete(&second[0].receipt).await?;
/// assert!(queue.contents().is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct MemoryQueue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    sent: u64,
    delivered: u64,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    id: String,
    body: String,
    attributes: Vec<(String, String)>,
    receive_count: u32,
    receipt: Option<Receipt>,
    visible_at: Instant,
    sent_at: Timestamp,
}

impl MemoryQueue {
    /// Bodies and attributes of everything in the queue, hidden or not.
    pub fn contents(&self) -> Vec<(String, Vec<(String, String)>)> {
        let state = lock(&self.state);
        state.entries.iter().map(|e| (e.body.clone(), e.attributes.clone())).collect()
    }

    /// Number of messages ever sent to it.
    pub fn sent(&self) -> u64 {
        lock(&self.state).sent
    }

    /// Number of messages that are hidden now.
    pub fn hidden(&self) -> usize {
        let now = Instant::now();
        lock(&self.state).entries.iter().filter(|e| e.visible_at > now).count()
    }

    fn take(&self, max: usize, visibility: Duration) -> (Vec<Message>, Option<Instant>) {
        let now = Instant::now();
        let mut state = lock(&self.state);
        let State { delivered, entries, .. } = &mut *state;
        let mut out = Vec::new();
        for entry in entries.iter_mut().filter(|e| e.visible_at <= now).take(max) {
            *delivered += 1;
            let receipt = Receipt(format!("{}#{delivered}", entry.id));
            entry.receive_count += 1;
            entry.visible_at = now + visibility;
            entry.receipt = Some(receipt.clone());
            out.push(Message {
                id: entry.id.clone(),
                receipt,
                body: entry.body.clone(),
                receive_count: entry.receive_count,
            });
        }
        let next = entries.iter().map(|e| e.visible_at).filter(|at| *at > now).min();
        (out, next)
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn receive(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Message>> {
        let until = Instant::now() + wait;
        loop {
            let changed = self.changed.notified();
            let (messages, next) = self.take(max, visibility);
            if !messages.is_empty() || Instant::now() >= until {
                return Ok(messages);
            }
            let wake = next.map_or(until, |at| at.min(until));
            // Either a change or the time: both mean "look again".
            let _ = timeout_at(wake, changed).await;
        }
    }

    async fn delete(&self, receipt: &Receipt) -> Result<()> {
        lock(&self.state).entries.retain(|e| e.receipt.as_ref() != Some(receipt));
        Ok(())
    }

    async fn change_visibility(&self, receipt: &Receipt, visibility: Duration) -> Result<()> {
        let mut state = lock(&self.state);
        if let Some(entry) = state.entries.iter_mut().find(|e| e.receipt.as_ref() == Some(receipt))
        {
            entry.visible_at = Instant::now() + visibility;
        }
        drop(state);
        self.changed.notify_waiters();
        Ok(())
    }

    async fn send(&self, body: &str, attributes: &[(&str, &str)]) -> Result<()> {
        let mut state = lock(&self.state);
        state.sent += 1;
        let entry = Entry {
            id: format!("m{}", state.sent),
            body: body.to_owned(),
            attributes: attributes.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            receive_count: 0,
            receipt: None,
            visible_at: Instant::now(),
            sent_at: Timestamp::from_system_clock(),
        };
        state.entries.push(entry);
        drop(state);
        self.changed.notify_waiters();
        Ok(())
    }
}

#[async_trait]
impl QueueLook for MemoryQueue {
    async fn depth(&self) -> Result<Depth> {
        let hidden = self.hidden();
        Ok(Depth { visible: (self.contents().len() - hidden) as u64, hidden: hidden as u64 })
    }

    async fn peek(&self, limit: usize) -> Result<Vec<parallax_ports::Entry>> {
        let state = lock(&self.state);
        let shown = state.entries.iter().take(limit).map(|entry| parallax_ports::Entry {
            id: entry.id.clone(),
            body: entry.body.clone(),
            attributes: entry.attributes.clone(),
            receive_count: entry.receive_count,
            sent_at: entry.sent_at,
        });
        Ok(shown.collect())
    }
}
