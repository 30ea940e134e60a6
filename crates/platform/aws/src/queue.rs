//! `SqsQueue`: a standard SQS queue.
//!
//! Deletes of messages that are done at about the same time travel together.
//!
//! SQS accepts a stale receipt without acting on it, mostly silently and sometimes with an error;
//! the port asks for silence, so those errors are swallowed here and nothing else is.

mod deletes;
mod look;
mod stale;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use parallax_ports::{Error, Kind, Message, Queue, Receipt, Result};

use crate::error::translate;
use deletes::Deletes;
use stale::is_stale;

/// Longest that SQS waits for messages.
const LONGEST_WAIT: i32 = 20;
/// Longest that SQS hides a message, counted from when it was received.
const LONGEST_HIDDEN: i32 = 12 * 3600;

/// A queue by its address.
#[derive(Debug, Clone)]
pub struct SqsQueue {
    client: Client,
    url: String,
    name: String,
    deletes: Arc<Deletes>,
    /// 0 when the queue gives nothing up, or was not asked yet.
    max_receives: Arc<AtomicU32>,
}

impl SqsQueue {
    /// The queue at `url`.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        let url = url.into();
        let name = url.rsplit('/').next().unwrap_or_default().to_owned();
        let deletes = Arc::new(Deletes::new(client.clone(), url.clone(), name.clone()));
        Self { client, url, name, deletes, max_receives: Arc::default() }
    }

    /// Deliveries after which the queue moves a message to its dead letters, as [`Self::check`] found.
    pub fn max_receives(&self) -> Option<u32> {
        Some(self.max_receives.load(Ordering::Relaxed)).filter(|most| *most > 0)
    }

    /// Asks for the queue's attributes: does it exist, and may this process see it? Its redrive policy
    /// is remembered.
    ///
    /// # Errors
    /// `NotFound`, `Unauthorized` or `Unavailable`, naming the queue.
    pub async fn check(&self) -> Result<()> {
        let call = self.client.get_queue_attributes().queue_url(&self.url);
        let call = call
            .attribute_names(QueueAttributeName::QueueArn)
            .attribute_names(QueueAttributeName::RedrivePolicy);
        let answer = call.send().await.map_err(|error| self.error("look at", error))?;
        let policy = answer.attributes().and_then(|a| a.get(&QueueAttributeName::RedrivePolicy));
        let most = policy.and_then(|text| most_receives(text)).unwrap_or(0);
        self.max_receives.store(most, Ordering::Relaxed);
        Ok(())
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The queue that its redrive policy names; `None` when it gives nothing up. SQS has both in one
    /// region and account, so that the address differs in the name alone.
    ///
    /// # Errors
    /// `NotFound`, `Unauthorized` or `Unavailable`, naming the queue.
    pub async fn dead_letters(&self) -> Result<Option<Self>> {
        let call = self.client.get_queue_attributes().queue_url(&self.url);
        let call = call.attribute_names(QueueAttributeName::RedrivePolicy);
        let answer = call.send().await.map_err(|error| self.error("look at", error))?;
        let policy = answer.attributes().and_then(|a| a.get(&QueueAttributeName::RedrivePolicy));
        let name = policy.and_then(|text| dead_letters_name(text));
        let beside = self.url.rsplit_once('/').map_or("", |(account, _)| account);
        Ok(name.map(|name| Self::new(self.client.clone(), format!("{beside}/{name}"))))
    }

    fn error<E>(&self, verb: &str, error: SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        translate(format!("{verb} queue {}", self.name), error)
    }
}

/// `maxReceiveCount` of a redrive policy, which is written as a number or as text.
fn most_receives(policy: &str) -> Option<u32> {
    let policy: serde_json::Value = serde_json::from_str(policy).ok()?;
    let most = policy.get("maxReceiveCount")?;
    let number = most.as_u64().or_else(|| most.as_str()?.parse().ok())?;
    u32::try_from(number).ok()
}

/// The name of the queue that a redrive policy leads to.
fn dead_letters_name(policy: &str) -> Option<String> {
    let policy: serde_json::Value = serde_json::from_str(policy).ok()?;
    let name = policy.get("deadLetterTargetArn")?.as_str()?.rsplit(':').next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// Whole seconds, rounded up: zero alone means zero.
fn seconds(duration: Duration, most: i32) -> i32 {
    let up = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(up).unwrap_or(most).min(most)
}

/// SQS refuses control characters and empty values in attributes.
fn printable(value: &str) -> String {
    let plain = |c: char| if c.is_control() && !"\t\n\r".contains(c) { ' ' } else { c };
    if value.is_empty() { "-".to_owned() } else { value.chars().map(plain).collect() }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn receive(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Message>> {
        let call = self.client.receive_message().queue_url(&self.url);
        let answer = call
            .max_number_of_messages(max.clamp(1, 10) as i32)
            .wait_time_seconds(seconds(wait, LONGEST_WAIT))
            .visibility_timeout(seconds(visibility, LONGEST_HIDDEN))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .send()
            .await
            .map_err(|error| self.error("receive from", error))?;
        let mut messages = Vec::new();
        for message in answer.messages.unwrap_or_default() {
            let count = message
                .attributes()
                .and_then(|a| a.get(&MessageSystemAttributeName::ApproximateReceiveCount))
                .and_then(|text| text.parse().ok());
            let (Some(id), Some(receipt)) = (message.message_id, message.receipt_handle) else {
                let text = format!("receive from queue {}: a message without id", self.name);
                return Err(Error::new(Kind::Internal, text));
            };
            messages.push(Message {
                id,
                receipt: Receipt(receipt),
                body: message.body.unwrap_or_default(),
                receive_count: count.unwrap_or(1),
            });
        }
        Ok(messages)
    }

    async fn delete(&self, receipt: &Receipt) -> Result<()> {
        self.deletes.delete(receipt).await
    }

    async fn change_visibility(&self, receipt: &Receipt, visibility: Duration) -> Result<()> {
        let call = self.client.change_message_visibility().queue_url(&self.url);
        let asked =
            call.receipt_handle(&receipt.0).visibility_timeout(seconds(visibility, LONGEST_HIDDEN));
        match asked.send().await {
            Err(error) if !is_stale(&error) => Err(self.error("change visibility in", error)),
            _ => Ok(()),
        }
    }

    async fn send(&self, body: &str, attributes: &[(&str, &str)]) -> Result<()> {
        let mut call = self.client.send_message().queue_url(&self.url).message_body(body);
        for (name, value) in attributes {
            let value = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(printable(value))
                .build()
                .map_err(|error| {
                    Error::new(Kind::Rejected, format!("attribute {name}")).with_source(error)
                })?;
            call = call.message_attributes(*name, value);
        }
        call.send().await.map(drop).map_err(|error| self.error("send to", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_become_whole_seconds_upwards() {
        for (millis, most, expected) in
            [(0, 20, 0), (1, 20, 1), (1000, 20, 1), (1001, 20, 2), (60_000, 20, 20)]
        {
            assert_eq!(seconds(Duration::from_millis(millis), most), expected, "{millis}");
        }
        let days = Duration::from_secs(1 << 40);
        assert_eq!(seconds(days, LONGEST_HIDDEN), 43_200);
    }

    #[test]
    fn policies_are_read_with_numbers_and_with_text() {
        assert_eq!(most_receives(r#"{"maxReceiveCount":5,"deadLetterTargetArn":"x"}"#), Some(5));
        assert_eq!(most_receives(r#"{"maxReceiveCount":"12"}"#), Some(12));
        let policy = r#"{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:1:a-dlq"}"#;
        assert_eq!(dead_letters_name(policy).as_deref(), Some("a-dlq"));
        for odd in ["", "{}", r#"{"deadLetterTargetArn":7}"#, r#"{"deadLetterTargetArn":"a:"}"#] {
            assert_eq!(dead_letters_name(odd), None, "{odd}");
        }
        for odd in ["", "{}", "[]", r#"{"maxReceiveCount":-1}"#, r#"{"maxReceiveCount":"x"}"#] {
            assert_eq!(most_receives(odd), None, "{odd}");
        }
    }

    #[test]
    fn attribute_values_are_what_sqs_accepts() {
        assert_eq!(printable("it's \"odd\" 漢\n"), "it's \"odd\" 漢\n");
        assert_eq!(printable("a\0b\u{1b}"), "a b ");
        assert_eq!(printable(""), "-");
    }
}
