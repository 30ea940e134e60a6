//! Where an input is.

use std::fmt;

use parallax_job::Uri;
use serde_json::{Value, json};
use url::Url;

use super::Inline;

/// An address that a request may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An object.
    Object(Uri),
    /// A file of somebody else's, for reading.
    Web(Url),
    /// Bytes that came with the request.
    Inline(Inline),
}

impl Address {
    /// What tells this input from others: `text`, by which it was named, or a digest of what came
    /// with the request.
    pub fn identity(&self, text: &str) -> Value {
        match self {
            Self::Inline(inline) => json!(format!("sha256:{}", inline.digest())),
            Self::Object(_) | Self::Web(_) => json!(text),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(uri) => write!(f, "{uri}"),
            // The rest may hold a signature.
            Self::Web(url) => write!(f, "{}", url.origin().ascii_serialization()),
            Self::Inline(inline) => write!(f, "{} bytes of the request", inline.bytes().len()),
        }
    }
}
