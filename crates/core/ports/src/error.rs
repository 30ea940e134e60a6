//! One error for every port, classified by what a caller does next.

use std::fmt;
use std::time::Duration;

/// What a caller does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The thing is not there. Permanent unless somebody makes it.
    NotFound,
    /// Somebody else changed it first. Read again, decide again.
    Conflict,
    /// Asked too often. Wait, then ask again; nothing happened.
    Throttled,
    /// No answer in time. It may have happened: ambiguous.
    Timeout,
    /// The other side could not be reached or said "not now". Nothing happened.
    Unavailable,
    /// Credentials or permissions. An operator must act; jobs are not to blame.
    Unauthorized,
    /// The request itself is wrong and always will be. Permanent.
    Rejected,
    /// Stopped because this side asked for it.
    Cancelled,
    /// The other side failed while doing it.
    Internal,
}

impl Kind {
    /// The name in logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::NotFound => "not_found",
            Kind::Conflict => "conflict",
            Kind::Throttled => "throttled",
            Kind::Timeout => "timeout",
            Kind::Unavailable => "unavailable",
            Kind::Unauthorized => "unauthorized",
            Kind::Rejected => "rejected",
            Kind::Cancelled => "cancelled",
            Kind::Internal => "internal",
        }
    }
}

/// A failed port call.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    retry_after: Option<Duration>,
}

/// What every port call returns.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of `kind`; `message` says what was attempted and names the thing.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None, retry_after: None }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds how long the other side asked to be left alone.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// What a caller does about it.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How long the other side asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether the same call may succeed later without anybody acting.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.kind,
            Kind::Conflict | Kind::Throttled | Kind::Timeout | Kind::Unavailable | Kind::Internal
        )
    }

    /// The message and every cause behind it, on one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|s| s as _)
    }
}
