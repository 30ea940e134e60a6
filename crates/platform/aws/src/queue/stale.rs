//! Errors that say no more than that a receipt is no longer the message's.

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::error::code;

pub(super) fn is_stale<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let SdkError::ServiceError(service) = error else { return false };
    names_a_stale_receipt(
        code(error).unwrap_or_default(),
        service.err().message().unwrap_or_default(),
    )
}

pub(super) fn names_a_stale_receipt(code: &str, text: &str) -> bool {
    match code.rsplit('.').next().unwrap_or_default() {
        "MessageNotInflight" | "ReceiptHandleIsInvalid" => true,
        "InvalidParameterValue" => {
            // The other reason for this code is a timeout beyond the twelve hours.
            text.contains("expired") || text.contains("does not exist")
        }
        _ => false,
    }
}
