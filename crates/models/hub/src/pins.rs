//! What a file must be whatever a hub says of it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::partial::{self, Digest};

/// A file as it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pin {
    /// `None` where only the bytes are known by their digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    pub(crate) sha256: String,
}

/// A repository's commit, and its files as they must be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pins {
    pub(crate) commit: String,
    pub(crate) files: BTreeMap<String, Pin>,
}

impl Pins {
    pub(crate) fn of(commit: &str, files: &[(&str, &str)]) -> Self {
        let pin = |sha256: &str| Pin { size: None, sha256: sha256.to_owned() };
        let files = files.iter().map(|(path, sha256)| ((*path).to_owned(), pin(sha256)));
        Self { commit: commit.to_owned(), files: files.collect() }
    }

    /// What of it cannot be meant.
    pub(crate) fn fault(&self) -> Option<String> {
        let hexadecimal =
            |pin: &Pin| Digest::parse(&pin.sha256).is_some() && pin.sha256.len() == 64;
        if !is_commit(&self.commit) {
            return Some(format!("{:?} is no commit", self.commit));
        }
        let wrong = self.files.iter().find(|(_, pin)| !hexadecimal(pin));
        wrong.map(|(path, _)| format!("{path}: sha256 has 64 hexadecimal digits"))
    }
}

/// The SHA-256 of a file of which `known` is known.
pub(crate) fn sha256(path: &Path, known: &Digest) -> std::io::Result<String> {
    match known {
        Digest::Sha256(text) => Ok(text.clone()),
        Digest::Git(_) => partial::digest(path, &Digest::Sha256(String::new())),
    }
}

/// Whether `text` is a full commit id, so that it means the same tomorrow and can stand in a path.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}
