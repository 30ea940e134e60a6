//! What a model's folder holds: the commit, and the files that were verified.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::model::Model;
use crate::partial::Digest;
use crate::pins::is_commit;

const NAME: &str = ".parallax-weights.json";

/// A verified file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verified {
    pub(crate) size: u64,
    pub(crate) digest: Digest,
}

/// The record of one folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) repository: String,
    pub(crate) commit: String,
    pub(crate) files: BTreeMap<String, Verified>,
}

impl Record {
    /// The record in `folder`. One that is missing or unreadable says nothing, and the files are looked
    /// at again.
    pub(crate) fn read(folder: &Path) -> Self {
        let text = fs::read_to_string(folder.join(NAME)).unwrap_or_default();
        let record: Self = serde_json::from_str(&text).unwrap_or_default();
        if is_commit(&record.commit) { record } else { Self::default() }
    }

    /// Replaces the record in `folder` at one stroke.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Error> {
        let path = folder.join(NAME);
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(serde_json::to_string_pretty(self)?.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(|source| Error::Io { path: path.clone(), source })
    }

    /// Whether it is about `model` at the revision that is asked for, as far as one can tell from here:
    /// a branch can have moved, a commit cannot.
    pub(crate) fn answers(&self, model: &Model) -> bool {
        self.repository == model.repository
            && is_commit(&self.commit)
            && model.revision.as_ref().is_none_or(|revision| *revision == self.commit)
    }

    /// Files of `model` that are not recorded, or not there with the recorded size.
    pub(crate) fn missing(&self, model: &Model, folder: &Path) -> Vec<PathBuf> {
        let there = |name: &String| {
            self.files.get(name).is_some_and(|verified| {
                fs::metadata(folder.join(name))
                    .is_ok_and(|meta| meta.is_file() && meta.len() == verified.size)
            })
        };
        let absent = |paths: &&Vec<String>| !paths.iter().any(there);
        let first = |paths: &Vec<String>| paths.first().map(|name| folder.join(name));
        model.files.iter().filter(absent).filter_map(first).collect()
    }
}
