//! What pages need besides themselves, within the program: nothing is fetched from elsewhere.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use crate::refusal::Refusal;

const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Each by its name.
const ALL: [(&str, &str, &str); 11] = [
    ("style.css", STYLE, include_str!("assets/style.css")),
    ("watch.css", STYLE, include_str!("assets/watch.css")),
    ("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
    ("api.js", SCRIPT, include_str!("assets/api.js")),
    ("app.js", SCRIPT, include_str!("assets/app.js")),
    ("upload.js", SCRIPT, include_str!("assets/upload.js")),
    ("workbench.js", SCRIPT, include_str!("assets/workbench.js")),
    ("jobs.js", SCRIPT, include_str!("assets/jobs.js")),
    ("stereo.js", SCRIPT, include_str!("assets/stereo.js")),
    ("xr.js", SCRIPT, include_str!("assets/xr.js")),
    ("watch.js", SCRIPT, include_str!("assets/watch.js")),
];

pub(crate) fn asset(name: &str) -> Result<Response, Refusal> {
    let found = ALL.iter().find(|(known, ..)| *known == name);
    let (_, kind, text) = found.ok_or_else(Refusal::nothing)?;
    // Another version of the program has others under the same names.
    Ok(([(CONTENT_TYPE, *kind), (CACHE_CONTROL, "no-cache")], *text).into_response())
}
