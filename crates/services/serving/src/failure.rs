//! Why a request was not served: one type for every operation and every front.

use std::fmt;
use std::time::Duration;

use parallax_ports as ports;
use schemars::JsonSchema;
use serde::Serialize;

/// What a caller does about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The request is wrong and always will be.
    Invalid,
    /// The caller did not say who it is.
    Unauthenticated,
    /// The request names something that it may not use.
    Forbidden,
    /// Something that the request names does not exist.
    NotFound,
    /// The request contradicts another one.
    Conflict,
    /// The request is larger than is allowed.
    TooLarge,
    /// The request did not arrive in time.
    TooSlow,
    /// Every slot is taken; nothing was begun.
    Overloaded,
    /// The server cannot serve now; nothing was begun, or what was begun was handed back.
    Unavailable,
    /// The caller asked for it to stop, or left.
    Cancelled,
    /// The run took longer than is allowed.
    Deadline,
    /// The run failed.
    Internal,
}

impl FailureKind {
    /// The name in answers, logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::Cancelled => "cancelled",
            Self::Deadline => "deadline",
            Self::Internal => "internal",
        }
    }

    /// The status of an HTTP answer.
    pub fn status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::TooSlow => 408,
            Self::Overloaded => 429,
            // Whoever still hears it may ask again.
            Self::Unavailable | Self::Cancelled => 503,
            // Not 504: nothing runs any more.
            Self::Deadline | Self::Internal => 500,
        }
    }
}

/// A request that was not served. The message is for the caller; the detail is for the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Failure {
    /// What to do about it.
    pub kind: FailureKind,
    /// What was found and what is allowed; never a secret, never a path of this machine.
    pub message: String,
    /// The field of the request that is to blame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// How long to wait before asking again.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
    /// Causes, for whoever runs the server.
    #[serde(skip)]
    pub detail: Option<String>,
}

impl Failure {
    /// A failure of `kind`.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), field: None, retry_after: None, detail: None }
    }

    /// A request whose `field` is wrong: `message` says what was found and what is allowed.
    pub fn field(field: impl Into<String>, message: impl fmt::Display) -> Self {
        let field = field.into();
        let message = format!("{field}: {message}");
        Self { field: Some(field), ..Self::new(FailureKind::Invalid, message) }
    }

    /// Blames `field` too.
    #[must_use]
    pub fn of(mut self, field: &str) -> Self {
        self.message = format!("{field}: {}", self.message);
        self.field = Some(field.to_owned());
        self
    }

    /// Says when to ask again.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Adds what only the log is told.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// `Cancelled`.
    pub fn cancelled() -> Self {
        Self::new(FailureKind::Cancelled, "cancelled")
    }

    /// A failure that says nothing but that the log says more.
    pub fn internal(detail: impl Into<String>) -> Self {
        let message = "the operation failed; the server's log says why";
        Self::new(FailureKind::Internal, message).with_detail(detail)
    }

    /// What a store answered about the object that `field` names.
    pub fn of_store(error: &ports::Error, field: &str) -> Self {
        let kind = match error.kind() {
            ports::Kind::NotFound => FailureKind::NotFound,
            ports::Kind::Unauthorized => FailureKind::Forbidden,
            ports::Kind::Rejected => FailureKind::Invalid,
            ports::Kind::Throttled | ports::Kind::Unavailable => FailureKind::Unavailable,
            ports::Kind::Cancelled => return Self::cancelled(),
            ports::Kind::Conflict | ports::Kind::Timeout | ports::Kind::Internal => {
                FailureKind::Internal
            }
        };
        // A store's own words may hold addresses inside a network and paths of this machine.
        let message = match kind {
            FailureKind::NotFound => "there is no such object",
            FailureKind::Forbidden => "the store refuses access",
            FailureKind::Invalid => "the store refuses the address",
            FailureKind::Unavailable => "the store is not available",
            _ => "the store failed",
        };
        let failure = Self::new(kind, message).of(field).with_detail(error.chain());
        match error.retry_after() {
            Some(wait) => failure.after(wait),
            None => failure,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
