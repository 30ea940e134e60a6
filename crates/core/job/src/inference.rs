//! `InferenceResult`: what an asynchronous SageMaker endpoint tells its success and error topics.
//!
//! A topic delivers to a queue raw or in its envelope (`Type`, `TopicArn`, `Message`); both are
//! read. The message says that an invocation is over; what came of it is in the objects.

use serde::Deserialize;

use crate::Uri;

/// One invocation is over, says its endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InferenceResult {
    /// The name that the caller gave the invocation.
    pub inference_id: Option<String>,
    /// Why it failed; `None` when it did not.
    pub failure: Option<String>,
    /// Where the request was read from, where it was an object.
    pub input: Option<Uri>,
    /// Where the response was written.
    pub response_location: Option<Uri>,
    /// Where the failure was written. The documented message has no such member.
    pub failure_location: Option<Uri>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Wire {
    invocation_status: Option<String>,
    failure_reason: Option<String>,
    inference_id: Option<String>,
    request_parameters: Option<Parameters>,
    response_parameters: Option<Parameters>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    input_location: Option<String>,
    output_location: Option<String>,
    failure_location: Option<String>,
}

/// The longest reason that is kept.
const REASON_CHARS: usize = 1024;

impl Wire {
    /// # Errors
    /// A reason, when the message says neither that the invocation completed nor that it failed.
    pub(crate) fn read(self) -> Result<InferenceResult, String> {
        let uri = |text: Option<String>| text.and_then(|text| text.parse().ok());
        let reason = || {
            let text = self.failure_reason.as_deref().unwrap_or("no reason was given");
            text.chars().take(REASON_CHARS).collect()
        };
        let failure = match self.invocation_status.as_deref() {
            Some("Completed") => None,
            Some("Failed") => Some(reason()),
            other => {
                let found: String = other.unwrap_or_default().chars().take(64).collect();
                return Err(format!("invocationStatus {found:?}: expected Completed or Failed"));
            }
        };
        let request = self.request_parameters.unwrap_or_default();
        let response = self.response_parameters.unwrap_or_default();
        Ok(InferenceResult {
            inference_id: self.inference_id.filter(|id| !id.is_empty() && id.len() <= 64),
            failure,
            input: uri(request.input_location),
            response_location: uri(response.output_location),
            failure_location: uri(response.failure_location),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Notification, Record, parse_notification};

    const COMPLETED: &str = r#"{"awsRegion":"us-east-1","eventTime":"2022-01-25T22:46:00.608Z",
        "receivedTime":"2022-01-25T22:46:00.455Z","invocationStatus":"Completed",
        "requestParameters":{"contentType":"application/json","endpointName":"stereo",
            "inputLocation":"s3://out/sagemaker-invocation-requests/job-1/3.json"},
        "responseParameters":{"contentType":"text/csv; charset=utf-8",
            "outputLocation":"s3://out/sagemaker-async-responses/a.out"},
        "inferenceId":"11111111-2222-3333-4444-555555555555","eventVersion":"1.0",
        "eventSource":"aws:sagemaker","eventName":"InferenceResult"}"#;
    const FAILED: &str = r#"{"awsRegion":"us-east-1","eventTime":"2022-01-25T22:46:00.608Z",
        "receivedTime":"2022-01-25T22:46:00.455Z","invocationStatus":"Failed",
        "failureReason":"ClientError: it went wrong",
        "requestParameters":{"endpointName":"stereo"},
        "inferenceId":"aa","eventVersion":"1.0",
        "eventSource":"aws:sagemaker","eventName":"InferenceResult"}"#;

    fn one(body: &str) -> Record {
        match parse_notification(body).unwrap() {
            Notification::Records(mut records) if records.len() == 1 => records.remove(0),
            other => panic!("{other:?}"),
        }
    }

    fn enveloped(message: &str) -> String {
        serde_json::json!({
            "Type": "Notification",
            "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": "arn:aws:sns:us-east-1:123456789012:stereo-success",
            "Message": message,
            "Timestamp": "2022-01-25T22:46:00.700Z",
            "SignatureVersion": "1",
            "Signature": "EXAMPLE",
            "SigningCertURL": "https://sns.us-east-1.amazonaws.com/cert.pem",
            "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe"
        })
        .to_string()
    }

    #[test]
    fn both_topics_are_read_raw_and_in_their_envelope() {
        let completed = InferenceResult {
            inference_id: Some("11111111-2222-3333-4444-555555555555".to_owned()),
            failure: None,
            input: "s3://out/sagemaker-invocation-requests/job-1/3.json".parse().ok(),
            response_location: "s3://out/sagemaker-async-responses/a.out".parse().ok(),
            failure_location: None,
        };
        let failed = InferenceResult {
            inference_id: Some("aa".to_owned()),
            failure: Some("ClientError: it went wrong".to_owned()),
            ..InferenceResult::default()
        };
        for (body, expected) in [(COMPLETED, completed), (FAILED, failed)] {
            assert_eq!(one(body), Record::Inference(expected.clone()));
            assert_eq!(one(&enveloped(body)), Record::Inference(expected));
        }
    }

    #[test]
    fn a_topic_may_carry_object_events_and_its_own_tests() {
        let event = r#"{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},
            "object":{"key":"k","size":1}}}]}"#;
        assert!(matches!(one(&enveloped(event)), Record::Created(_)));
        for test in [
            r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"b"}"#,
            r#"{"eventSource":"aws:sagemaker","eventName":"TestNotification"}"#,
            r#"{"Event":"TestNotification"}"#,
        ] {
            assert_eq!(parse_notification(test).unwrap(), Notification::Test, "{test}");
            assert_eq!(parse_notification(&enveloped(test)).unwrap(), Notification::Test);
        }
    }

    #[test]
    fn what_is_neither_is_refused_and_an_envelope_holds_no_other() {
        let unsure = FAILED.replace("Failed", "Pondering");
        assert!(matches!(one(&unsure), Record::Malformed(why) if why.contains("Pondering")));
        assert!(parse_notification(&enveloped(&enveloped(FAILED))).is_err());
        assert!(parse_notification(&enveloped("not JSON")).is_err());
        assert!(parse_notification(r#"{"Type":"Notification"}"#).is_err());
        let foreign = r#"{"eventSource":"aws:other","eventName":"Something"}"#;
        assert!(parse_notification(foreign).is_err());
    }
}
