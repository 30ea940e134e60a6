//! What pages need besides themselves, within the program: nothing is fetched from elsewhere.

use axum::response::Response;
use parallax_web::{Asset, Refusal, SCRIPT, STYLE};

/// Each by its name.
const ALL: [Asset; 10] = [
    ("style.css", STYLE, include_str!("assets/style.css")),
    ("watch.css", STYLE, include_str!("assets/watch.css")),
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
    parallax_web::asset(&ALL, name)
}
