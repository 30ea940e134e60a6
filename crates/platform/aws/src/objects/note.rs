//! Notes on objects, as metadata.

use std::collections::HashMap;

/// Where a note is among an object's metadata.
pub(super) const NOTE: &str = "parallax-note";

pub(super) fn metadata(note: Option<&str>) -> Option<HashMap<String, String>> {
    Some(HashMap::from([(NOTE.to_owned(), note?.to_owned())]))
}
