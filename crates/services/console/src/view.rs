//! What a page shows at one moment.

use axum::http::StatusCode;
use parallax_ports::{Error, Kind};
use parallax_web::Refusal;
use serde_json::Value;

/// One moment of a topic, for a page and for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    /// The page's title.
    pub(crate) title: String,
    /// The part of the page that changes.
    pub(crate) html: String,
    /// The same for programs.
    pub(crate) data: Value,
    /// The same in a sentence, for who hears the page.
    pub(crate) said: String,
}

/// What is answered when a port did not answer.
pub(crate) fn refusal(error: &Error, told: impl Fn(&str) -> String) -> Refusal {
    let status = match error.kind() {
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Rejected => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    Refusal::new(status, told(&error.chain()))
}
