//! Looking into a queue. SQS shows a message only to whoever receives it, and lets that one hide it for no time.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName, QueueAttributeName};
use parallax_job::Timestamp;
use parallax_ports::{Depth, Entry, QueueLook, Result};

use super::SqsQueue;

/// Receives that find nothing new in a row, after which there is nothing more: each asks some of the servers
/// that a queue is spread over.
const IN_VAIN: usize = 2;

#[async_trait]
impl QueueLook for SqsQueue {
    async fn depth(&self) -> Result<Depth> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let call = self.client.get_queue_attributes().queue_url(&self.url);
        let answer = call.set_attribute_names(Some(names.to_vec())).send().await;
        let answer = answer.map_err(|error| self.error("look at", error))?;
        let count = |name| {
            let text = answer.attributes().and_then(|all| all.get(name));
            text.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0)
        };
        let [visible, received, delayed] = names.each_ref().map(count);
        Ok(Depth { visible, hidden: received + delayed })
    }

    async fn peek(&self, limit: usize) -> Result<Vec<Entry>> {
        let mut found = BTreeMap::new();
        let mut in_vain = 0;
        while found.len() < limit && in_vain < IN_VAIN {
            let before = found.len();
            for message in self.shown().await? {
                if let Some(entry) = entry(message) {
                    found.insert(entry.id.clone(), entry);
                }
            }
            in_vain = if found.len() > before { 0 } else { in_vain + 1 };
        }
        let mut found: Vec<Entry> = found.into_values().collect();
        found.sort_by(|a, b| (a.sent_at, &a.id).cmp(&(b.sent_at, &b.id)));
        found.truncate(limit);
        Ok(found)
    }
}

impl SqsQueue {
    /// Some messages, which others can receive at once.
    async fn shown(&self) -> Result<Vec<Message>> {
        let call = self.client.receive_message().queue_url(&self.url);
        let answer = call
            .max_number_of_messages(10)
            .wait_time_seconds(0)
            .visibility_timeout(0)
            .message_attribute_names("All")
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
            .send()
            .await
            .map_err(|error| self.error("look into", error))?;
        Ok(answer.messages.unwrap_or_default())
    }
}

fn entry(message: Message) -> Option<Entry> {
    let number = |name| {
        let text = message.attributes().and_then(|all| all.get(&name));
        text.and_then(|text| text.parse::<i64>().ok())
    };
    let count = number(MessageSystemAttributeName::ApproximateReceiveCount);
    let sent = number(MessageSystemAttributeName::SentTimestamp);
    let attributes = message.message_attributes.iter().flatten();
    let mut attributes: Vec<_> = attributes
        .map(|(name, value)| (name.clone(), value.string_value.clone().unwrap_or_default()))
        .collect();
    attributes.sort_unstable();
    Some(Entry {
        id: message.message_id.clone()?,
        receive_count: count.and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
        sent_at: Timestamp(sent.unwrap_or(0)),
        body: message.body.clone().unwrap_or_default(),
        attributes,
    })
}
