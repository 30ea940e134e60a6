//! Deletes that travel together.
//!
//! A delete waits a moment for others and then goes with up to nine of them in one request. It
//! answers only when its own message is gone, so nothing is promised earlier than before and a
//! process that ends has nothing to flush.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;
use parallax_ports::{Error, Kind, Receipt, Result};
use tokio::sync::oneshot;

use super::stale::names_a_stale_receipt;
use crate::error::translate;

/// How long a delete waits for others.
const LINGER: Duration = Duration::from_secs(2);
/// The most that one request may name.
const AT_ONCE: usize = 10;

#[derive(Debug)]
struct Waiting {
    receipt: String,
    answer: oneshot::Sender<Result<()>>,
}

/// Deletes that wait for company.
#[derive(Debug)]
pub(super) struct Deletes {
    client: Client,
    url: String,
    /// The queue's name.
    name: String,
    waiting: Mutex<Vec<Waiting>>,
}

impl Deletes {
    /// Of messages of the queue `name` at `url`.
    pub(super) fn new(client: Client, url: String, name: String) -> Self {
        Self { client, url, name, waiting: Mutex::default() }
    }

    pub(super) async fn delete(&self, receipt: &Receipt) -> Result<()> {
        let (answer, mut mine) = oneshot::channel();
        let full = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.push(Waiting { receipt: receipt.0.clone(), answer });
            waiting.len() >= AT_ONCE
        };
        if !full {
            tokio::select! {
                biased;
                answered = &mut mine => return answered.unwrap_or_else(|_| Err(self.abandoned())),
                () = tokio::time::sleep(LINGER) => {}
            }
        }
        // Whoever waited long enough, or came last, sends; all else have the same right, so that
        // a sender that is dropped holds nobody up.
        let batch: Vec<Waiting> = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let count = waiting.len().min(AT_ONCE);
            waiting.drain(..count).collect()
        };
        if !batch.is_empty() {
            self.delete_batch(batch).await;
        }
        mine.await.unwrap_or_else(|_| Err(self.abandoned()))
    }

    /// Whoever carried the delete was dropped on the way: it may have arrived.
    fn abandoned(&self) -> Error {
        let text = format!("delete from queue {}: the request was dropped", self.name);
        Error::new(Kind::Timeout, text)
    }

    async fn delete_batch(&self, batch: Vec<Waiting>) {
        let entries: Vec<_> = batch
            .iter()
            .enumerate()
            .filter_map(|(number, waiting)| {
                let entry = DeleteMessageBatchRequestEntry::builder().id(number.to_string());
                // Both of its required members are set.
                entry.receipt_handle(&waiting.receipt).build().ok()
            })
            .collect();
        let call = self.client.delete_message_batch().queue_url(&self.url);
        let answered = call.set_entries(Some(entries)).send().await;
        let (failed, error) = match answered {
            Ok(answer) => (answer.failed, None),
            Err(error) => {
                (Vec::new(), Some(translate(format!("delete from queue {}", self.name), error)))
            }
        };
        for (number, waiting) in batch.into_iter().enumerate() {
            let id = number.to_string();
            let refusal = failed.iter().find(|entry| entry.id == id);
            let answer = match (&error, refusal) {
                (Some(error), _) => Err(Error::new(error.kind(), error.chain())),
                (None, None) => Ok(()),
                (None, Some(entry)) => {
                    let text = entry.message.as_deref().unwrap_or_default();
                    if names_a_stale_receipt(&entry.code, text) {
                        Ok(())
                    } else {
                        let kind = if entry.sender_fault { Kind::Rejected } else { Kind::Internal };
                        let text =
                            format!("delete from queue {}: {} {text}", self.name, entry.code);
                        Err(Error::new(kind, text))
                    }
                }
            };
            // Whoever asked may have been dropped; then nobody is to be told.
            let _ = waiting.answer.send(answer);
        }
    }
}
