//! `SageMakerAsync`: hands attempts to an asynchronous SageMaker endpoint.
//!
//! The call is not idempotent: the same request twice runs twice. So it is made once, never
//! repeated by the SDK, and whatever is not a definite answer is reported as `Timeout`, upon which
//! the caller keeps the permit and waits for evidence.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sagemakerruntime::Client;
use aws_sdk_sagemakerruntime::primitives::Blob;
use parallax_job::{Bucket, ObjectKey, Segment, Uri, UriError};
use parallax_ports::{
    Custody, Error, InferenceBackend, Invocation, Invoked, Kind, Locations, ObjectStore, Result,
    request,
};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::error::{code, translate};

/// How the endpoint is given the request.
#[derive(Debug, Clone)]
pub enum RequestBy {
    /// As an object in the output bucket, which is what every version of the API takes.
    Object {
        /// Where it is written.
        objects: Arc<dyn ObjectStore>,
        /// The output bucket.
        bucket: Bucket,
    },
    /// In the call itself: one request and one object fewer. The API takes it since 2026.
    Inline,
}

/// How an endpoint is used.
#[derive(Debug, Clone)]
pub struct SageMakerSettings {
    /// Name of the endpoint.
    pub endpoint: String,
    /// How it is given the request.
    pub request_by: RequestBy,
    /// Longest run of one attempt, 1 s to 1 h. Defaults to 20 min.
    pub run_limit: Duration,
    /// Longest wait in the endpoint's own queue, 1 min to 6 h. Defaults to 30 min: together with
    /// the run limit it bounds how long an attempt can be alive.
    pub queue_limit: Duration,
    /// Whether the caller names the response object, so that a lost reply loses no address. The
    /// API takes it since 2026. Defaults to false.
    pub name_responses: bool,
}

impl SageMakerSettings {
    /// The defaults for an endpoint.
    pub fn new(endpoint: impl Into<String>, request_by: RequestBy) -> Self {
        Self {
            endpoint: endpoint.into(),
            request_by,
            run_limit: Duration::from_secs(1200),
            queue_limit: Duration::from_secs(1800),
            name_responses: false,
        }
    }

    /// Checks the ranges that the API has.
    ///
    /// # Errors
    /// Says which value is out of range.
    pub fn validate(&self) -> std::result::Result<(), String> {
        if self.endpoint.is_empty() || self.endpoint.len() > 63 {
            return Err(format!("endpoint name {:?}: 1 to 63 characters", self.endpoint));
        }
        if !(1..=3600).contains(&self.run_limit.as_secs()) {
            return Err(format!("run limit {:?}: allowed are 1 s to 1 h", self.run_limit));
        }
        if !(60..=21_600).contains(&self.queue_limit.as_secs()) {
            return Err(format!("queue limit {:?}: allowed are 1 min to 6 h", self.queue_limit));
        }
        Ok(())
    }
}

/// One endpoint.
#[derive(Debug)]
pub struct SageMakerAsync {
    client: Client,
    settings: SageMakerSettings,
}

/// The request as the container reads it.
#[derive(Serialize)]
struct Request<'a> {
    s3_input_uri: &'a Uri,
    s3_output_uri: &'a Uri,
    mode: &'static str,
}

impl SageMakerAsync {
    /// The endpoint behind `client`, whose retries must be off.
    pub fn new(client: Client, settings: SageMakerSettings) -> Self {
        Self { client, settings }
    }

    async fn write_request(&self, invocation: &Invocation) -> Result<()> {
        let RequestBy::Object { objects, bucket } = &self.settings.request_by else {
            return Ok(());
        };
        let segment = &invocation.segment;
        let uri = request_uri(bucket, segment).map_err(|error| {
            Error::new(Kind::Rejected, "address of the request object").with_source(error)
        })?;
        let mark = request::mark(segment, invocation.attempt);
        let written = objects.write_noted(&uri, &body(invocation)?, &mark).await;
        written.map_err(nothing_was_started)
    }
}

fn request_uri(bucket: &Bucket, segment: &Segment) -> std::result::Result<Uri, UriError> {
    let Segment { job_id, index, .. } = segment;
    bucket.uri(&ObjectKey::InvocationRequest { job_id: job_id.clone(), index: *index })
}

fn body(invocation: &Invocation) -> Result<Vec<u8>> {
    let request = Request {
        s3_input_uri: &invocation.input,
        s3_output_uri: &invocation.output,
        mode: invocation.segment.mode.as_str(),
    };
    serde_json::to_vec(&request)
        .map_err(|error| Error::new(Kind::Rejected, "write the request as JSON").with_source(error))
}

/// The name of an attempt at SageMaker: the same whenever it is asked for, at most 64 characters.
fn inference_id(segment: &Segment, attempt: u32) -> String {
    let Segment { job_id, total, index, mode } = segment;
    let name = format!("{job_id}/{index}/{attempt} {total} {mode}");
    let digest = Sha256::digest(name.as_bytes());
    digest.iter().take(20).map(|byte| format!("{byte:02x}")).collect()
}

/// A failure before the endpoint was asked is never ambiguous and never the input's fault.
fn nothing_was_started(error: Error) -> Error {
    match error.kind() {
        Kind::Unauthorized | Kind::Throttled => error,
        Kind::NotFound => {
            Error::new(Kind::Unauthorized, "the bucket for requests is missing").with_source(error)
        }
        _ => Error::new(Kind::Unavailable, "the request object was not written").with_source(error),
    }
}

/// What an error that came back says about the attempt.
fn verdict(code: &str, kind: Kind) -> Kind {
    match code {
        // The endpoint's name or state, or this deployment's request: no job is to blame.
        "ValidationError" | "ValidationException" | "ModelNotReadyException" => Kind::Unauthorized,
        _ => match kind {
            Kind::NotFound | Kind::Rejected => Kind::Unauthorized,
            // The service broke while it was at it: it may have accepted.
            Kind::Internal => Kind::Timeout,
            other => other,
        },
    }
}

fn location(text: Option<String>) -> Option<Uri> {
    let text = text?;
    match text.parse() {
        Ok(uri) => Some(uri),
        Err(error) => {
            tracing::warn!(%error, "the endpoint named a location that is no object");
            None
        }
    }
}

#[async_trait]
impl InferenceBackend for SageMakerAsync {
    fn custody(&self) -> Custody {
        Custody::Backend
    }

    fn attempt_name(&self, segment: &Segment, attempt: u32) -> Option<String> {
        Some(inference_id(segment, attempt))
    }

    fn request_at(&self, segment: &Segment) -> Option<Uri> {
        match &self.settings.request_by {
            RequestBy::Object { bucket, .. } => request_uri(bucket, segment).ok(),
            RequestBy::Inline => None,
        }
    }

    async fn prepare(&self, invocation: &Invocation, cancel: &CancellationToken) -> Result<()> {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Error::new(Kind::Cancelled, "cancelled")),
            written = self.write_request(invocation) => written,
        }
    }

    /// # Cancel safety
    /// The answer, or its absence, is waited for: at most ten seconds.
    async fn invoke(&self, invocation: &Invocation, _: &CancellationToken) -> Result<Invoked> {
        let endpoint = &self.settings.endpoint;
        let seconds = |d: Duration| i32::try_from(d.as_secs()).unwrap_or(i32::MAX);
        let mut call = self
            .client
            .invoke_endpoint_async()
            .endpoint_name(endpoint)
            .content_type("application/json")
            .inference_id(inference_id(&invocation.segment, invocation.attempt))
            .invocation_timeout_seconds(seconds(self.settings.run_limit))
            .request_ttl_seconds(seconds(self.settings.queue_limit));
        call = match self.request_at(&invocation.segment) {
            Some(uri) => call.input_location(uri.to_string()),
            None => call.body(Blob::new(body(invocation)?)),
        };
        if self.settings.name_responses {
            call = call.s3_output_path_extension(invocation.request_id()).filename("r.out");
        }
        match call.send().await {
            Ok(reply) => Ok(Invoked::Accepted(Locations {
                response: location(reply.output_location),
                failure: location(reply.failure_location),
            })),
            Err(error) => {
                let name = code(&error).unwrap_or_default().to_owned();
                let error = translate(format!("invoke endpoint {endpoint}"), error);
                let kind = verdict(&name, error.kind());
                let after = error.retry_after();
                let error = Error::new(kind, error.to_string()).with_source(error);
                Err(match after {
                    Some(after) => error.with_retry_after(after),
                    None => error,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parallax_job::Mode;

    fn invocation(attempt: u32) -> Invocation {
        let job = "j".repeat(128).parse().unwrap();
        Invocation {
            segment: Segment::new(job, 99_998, 99_999, Mode::Anaglyph).unwrap(),
            attempt,
            input: "s3://input/segments/j/0.mp4".parse().unwrap(),
            output: "s3://output/jobs/j/segments/0.mp4".parse().unwrap(),
        }
    }

    #[test]
    fn an_attempt_has_one_name_that_the_api_takes() {
        let segment = invocation(1).segment;
        let id = inference_id(&segment, 1);
        assert_eq!(id, inference_id(&segment, 1));
        assert_ne!(id, inference_id(&segment, 2));
        assert!(id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric()), "{id}");
    }

    #[test]
    fn the_request_is_what_containers_read() {
        let it = invocation(1);
        let request = Request {
            s3_input_uri: &it.input,
            s3_output_uri: &it.output,
            mode: it.segment.mode.as_str(),
        };
        let expected = r#"{"s3_input_uri":"s3://input/segments/j/0.mp4","s3_output_uri":"s3://output/jobs/j/segments/0.mp4","mode":"anaglyph"}"#;
        assert_eq!(serde_json::to_string(&request).unwrap(), expected);
    }

    #[test]
    fn no_answer_blames_the_input_and_no_broken_one_counts_as_a_refusal() {
        for (code, kind, expected) in [
            ("ValidationError", Kind::Rejected, Kind::Unauthorized),
            ("", Kind::NotFound, Kind::Unauthorized),
            ("InternalFailure", Kind::Internal, Kind::Timeout),
            ("", Kind::Timeout, Kind::Timeout),
            ("ThrottlingException", Kind::Throttled, Kind::Throttled),
            ("ServiceUnavailable", Kind::Unavailable, Kind::Unavailable),
            ("ExpiredToken", Kind::Unauthorized, Kind::Unauthorized),
        ] {
            assert_eq!(verdict(code, kind), expected, "{code} {kind:?}");
        }
    }
}
