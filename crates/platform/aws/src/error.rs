//! From the SDK's errors to the ports': one table for every service.
//!
//! What matters is what a caller may assume. A refusal that came back is definite; silence after
//! the request was sent is ambiguous and becomes `Timeout`, whatever the socket said.

use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use parallax_ports::{Error, Kind};

/// Translates a failed call; `what` says what was attempted and names the thing.
pub(crate) fn translate<E>(what: impl Into<String>, error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let kind = kind(&error);
    let after = error.raw_response().and_then(retry_after);
    let mut what = what.into();
    if let Some(code) = code(&error) {
        what = format!("{what}: {code}");
    }
    if let SdkError::ServiceError(service) = &error
        && let Some(message) = service.err().message()
    {
        what = format!("{what}: {message}");
    }
    let translated = Error::new(kind, what).with_source(error);
    match after {
        Some(after) => translated.with_retry_after(after),
        None => translated,
    }
}

/// The service's own name for the error.
pub(crate) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    match error {
        SdkError::ServiceError(service) => service.err().code(),
        _ => None,
    }
}

fn kind<E>(error: &SdkError<E, HttpResponse>) -> Kind
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error {
        SdkError::ConstructionFailure(_) => Kind::Rejected,
        SdkError::TimeoutError(_) => Kind::Timeout,
        SdkError::DispatchFailure(failure) => {
            let text = failure.as_connector_error().map(|error| chain(error)).unwrap_or_default();
            dispatch(&text)
        }
        // An answer came and broke off or was not understood: it may have happened.
        SdkError::ResponseError(_) => Kind::Timeout,
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            answered(service.err().code().unwrap_or_default(), status)
        }
        _ => Kind::Internal,
    }
}

/// A call that got no answer at all. The connector does not say in types whether the request had
/// left, but it says so in words.
fn dispatch(text: &str) -> Kind {
    let lower = text.to_ascii_lowercase();
    // A certificate, like a missing credential, is for whoever runs the deployment.
    if ["credential", "identity", "certificate"].iter().any(|sign| lower.contains(sign)) {
        return Kind::Unauthorized;
    }
    let before_sending = ["(connect)", "connect timeout", "dns error", "failed to lookup"];
    if before_sending.iter().any(|sign| lower.contains(sign)) {
        Kind::Unavailable
    } else {
        Kind::Timeout
    }
}

/// A call that was answered with an error.
pub(crate) fn answered(code: &str, status: u16) -> Kind {
    // S3 and some gateways prefix or suffix the names.
    let name = code.rsplit(['.', '#']).next().unwrap_or(code);
    match name {
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "TooManyRequestsException"
        | "ProvisionedThroughputExceededException"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded"
        | "LimitExceededException"
        | "PriorRequestNotComplete"
        | "EC2ThrottledException"
        | "OverLimit"
        | "SlowDown" => Kind::Throttled,
        "ConditionalCheckFailedException"
        | "TransactionConflictException"
        | "TransactionInProgressException"
        | "ConditionalRequestConflict"
        | "OperationAborted"
        | "PreconditionFailed" => Kind::Conflict,
        "RequestTimeout" | "RequestTimeoutException" | "GatewayTimeout" => Kind::Timeout,
        "AccessDenied"
        | "AccessDeniedException"
        | "AuthFailure"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "InvalidAccessKeyId"
        | "InvalidClientTokenId"
        | "InvalidSecurity"
        | "InvalidSignatureException"
        | "InvalidToken"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "NotAuthorized"
        | "OptInRequired"
        | "RequestExpired"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => Kind::Unauthorized,
        "NoSuchKey"
        | "NoSuchBucket"
        | "NoSuchUpload"
        | "NotFound"
        | "NonExistentQueue"
        | "QueueDoesNotExist"
        | "ResourceNotFoundException" => Kind::NotFound,
        "ServiceUnavailable" | "ServiceUnavailableException" | "ServiceUnavailableError" => {
            Kind::Unavailable
        }
        _ => match status {
            401 | 403 => Kind::Unauthorized,
            404 => Kind::NotFound,
            408 | 504 => Kind::Timeout,
            409 | 412 => Kind::Conflict,
            429 => Kind::Throttled,
            503 => Kind::Unavailable,
            400..=499 => Kind::Rejected,
            _ => Kind::Internal,
        },
    }
}

fn retry_after(response: &HttpResponse) -> Option<Duration> {
    let seconds: u64 = response.headers().get("retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(3600)))
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_classified_by_code_first_and_status_second() {
        for (code, status, kind) in [
            ("ThrottlingException", 400, Kind::Throttled),
            ("ProvisionedThroughputExceededException", 400, Kind::Throttled),
            ("com.amazon.coral.service#ThrottlingException", 400, Kind::Throttled),
            ("SlowDown", 503, Kind::Throttled),
            ("ConditionalCheckFailedException", 400, Kind::Conflict),
            ("ExpiredTokenException", 400, Kind::Unauthorized),
            ("AccessDenied", 403, Kind::Unauthorized),
            ("AWS.SimpleQueueService.NonExistentQueue", 400, Kind::NotFound),
            ("NoSuchKey", 404, Kind::NotFound),
            ("ServiceUnavailable", 503, Kind::Unavailable),
            ("ValidationException", 400, Kind::Rejected),
            ("InternalServerError", 500, Kind::Internal),
            ("", 403, Kind::Unauthorized),
            ("", 404, Kind::NotFound),
            ("", 429, Kind::Throttled),
            ("", 502, Kind::Internal),
            ("", 504, Kind::Timeout),
        ] {
            assert_eq!(answered(code, status), kind, "{code} {status}");
        }
    }

    #[test]
    fn silence_is_ambiguous_unless_nothing_was_sent() {
        for (text, kind) in [
            (
                "dispatch failure: io error: client error (Connect): tcp connect error",
                Kind::Unavailable,
            ),
            (
                "timeout: client error (Connect): HTTP connect timeout occurred after 3s",
                Kind::Unavailable,
            ),
            ("error resolving DNS: dns error: failed to lookup address", Kind::Unavailable),
            ("HTTP read timeout occurred after 10s", Kind::Timeout),
            (
                "client error (SendRequest): connection closed before message completed",
                Kind::Timeout,
            ),
            ("Connection reset by peer (os error 104)", Kind::Timeout),
            ("the credential provider was not enabled", Kind::Unauthorized),
            ("client error (Connect): invalid peer certificate: UnknownIssuer", Kind::Unauthorized),
            ("", Kind::Timeout),
        ] {
            assert_eq!(dispatch(text), kind, "{text}");
        }
    }
}
