//! What pages need besides themselves, within the program: nothing is fetched from elsewhere.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use crate::refusal::Refusal;

/// The media type of a style sheet.
pub const STYLE: &str = "text/css; charset=utf-8";
/// The media type of a script.
pub const SCRIPT: &str = "text/javascript; charset=utf-8";

/// A name, a media type and a text.
pub type Asset = (&'static str, &'static str, &'static str);

/// What all pages have.
const SHARED: [Asset; 2] = [
    ("base.css", STYLE, include_str!("assets/base.css")),
    ("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
];

/// The asset of this name among `own` and those that all pages have: `base.css` and `icon.svg`.
///
/// # Errors
/// 404.
pub fn asset(own: &[Asset], name: &str) -> Result<Response, Refusal> {
    let found = own.iter().chain(&SHARED).find(|(known, ..)| *known == name);
    let (_, kind, text) = found.ok_or_else(Refusal::nothing)?;
    // Another version of the program has others under the same names.
    Ok(([(CONTENT_TYPE, *kind), (CACHE_CONTROL, "no-cache")], *text).into_response())
}
