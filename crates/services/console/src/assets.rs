//! The console's own style and script.

use parallax_web::{Asset, SCRIPT, STYLE};

pub(crate) const ALL: [Asset; 2] = [
    ("console.css", STYLE, include_str!("assets/console.css")),
    ("console.js", SCRIPT, include_str!("assets/console.js")),
];
