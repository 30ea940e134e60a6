//! The message that asks for a job's segments to be put together.

use serde::{Deserialize, Serialize};

use crate::JobId;

/// `{"job_id": "..."}` on the reassembly queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReassemblyMessage {
    /// The job to reassemble.
    pub job_id: JobId,
}

/// A body that is not such a message.
#[derive(Debug, thiserror::Error)]
#[error("not a reassembly message: {0}")]
pub struct MessageError(#[from] serde_json::Error);

impl ReassemblyMessage {
    /// # Errors
    /// When the body is not `{"job_id": "..."}` with a valid id.
    pub fn parse(body: &str) -> Result<Self, MessageError> {
        Ok(serde_json::from_str(body)?)
    }

    /// The message body.
    pub fn body(&self) -> String {
        format!("{{\"job_id\":\"{}\"}}", self.job_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_parsed_back_and_nonsense_is_refused() {
        let message = ReassemblyMessage { job_id: "j-1".parse().unwrap() };
        assert_eq!(ReassemblyMessage::parse(&message.body()).unwrap(), message);
        for bad in ["", "{}", "[]", r#"{"job_id":"a/b"}"#, r#"{"job_id":7}"#] {
            assert!(ReassemblyMessage::parse(bad).is_err(), "{bad}");
        }
    }
}
