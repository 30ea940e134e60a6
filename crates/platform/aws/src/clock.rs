//! What the services' answers say about their clocks, at no call of its own.

use aws_sdk_dynamodb::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use parallax_job::Timestamp;
use parallax_ports::ServiceClock;

/// An answer's date is in whole seconds: on average it is half of one old.
const HALF_A_SECOND_MS: i64 = 500;

/// Reads the date of every answer.
#[derive(Debug)]
pub(crate) struct DateReader(pub(crate) ServiceClock);

impl Intercept for DateReader {
    fn name(&self) -> &'static str {
        "DateReader"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(theirs) = context.response().headers().get("date").and_then(date) {
            self.0.told(theirs, Timestamp::from_system_clock());
        }
        Ok(())
    }
}

/// The middle of the second that an answer's `Date` names.
fn date(text: &str) -> Option<Timestamp> {
    let read = DateTime::from_str(text, DateTimeFormat::HttpDate).ok()?;
    Some(Timestamp(read.to_millis().ok()? + HALF_A_SECOND_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_an_answer_is_read_and_nonsense_is_not() {
        let read = date("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(read, Some(Timestamp(784_111_777_500)));
        for text in ["", "yesterday", "1994-11-06T08:49:37Z", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(date(text), None, "{text}");
        }
    }
}
