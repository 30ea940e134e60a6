//! Which files of a folder hold its weights: half precision before single, whole before sharded.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use crate::error::Error;
use crate::header::{self, Entry};
use crate::pth::Pickled;

/// File names of diffusers and of transformers.
const STEMS: [&str; 2] = ["diffusion_pytorch_model", "model"];
const PICKLES: [&str; 6] = ["bin", "pt", "pth", "ckpt", "pkl", "pickle"];

/// Weight files and all that their headers say.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) entries: BTreeMap<String, Entry>,
    /// The one file, where it is PyTorch's own.
    pub(crate) pickled: Option<Arc<Pickled>>,
}

enum Candidate {
    Whole(String),
    Index(String),
}

fn candidates() -> Vec<Candidate> {
    let mut out = Vec::new();
    for variant in [".fp16", ""] {
        for stem in STEMS {
            out.push(Candidate::Whole(format!("{stem}{variant}.safetensors")));
            // diffusers and transformers put the variant last, some converters before the extension.
            out.push(Candidate::Index(format!("{stem}.safetensors.index{variant}.json")));
            out.push(Candidate::Index(format!("{stem}{variant}.safetensors.index.json")));
        }
    }
    out
}

impl Files {
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        let mut tried = Vec::new();
        for candidate in candidates() {
            let name = match &candidate {
                Candidate::Whole(name) | Candidate::Index(name) => name,
            };
            let path = dir.join(name);
            if path.is_file() {
                return match candidate {
                    Candidate::Whole(_) => Self::safetensors(path),
                    Candidate::Index(_) => Self::sharded(dir, &path),
                };
            }
            if !tried.contains(name) {
                tried.push(name.clone());
            }
        }
        match pickle_in(dir)? {
            Some(path) => Err(Error::Pickle { path }),
            None => Err(Error::NoWeights { dir: dir.to_owned(), tried }),
        }
    }

    /// The weights in one file, which is safetensors or PyTorch's own by its name.
    pub(crate) fn open_file(path: &Path) -> Result<Self, Error> {
        let path = path.to_owned();
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        match extension {
            "safetensors" => Self::safetensors(path),
            "pth" => Self::pickled(path, None),
            _ if is_pickle(&path) => Err(Error::Pickle { path }),
            _ => Err(Error::Malformed {
                path,
                why: "weights are in files called .safetensors or .pth".into(),
            }),
        }
    }

    /// The weights in PyTorch's own file whose state dict is under `key`.
    pub(crate) fn open_within(path: &Path, key: &str) -> Result<Self, Error> {
        Self::pickled(path.to_owned(), Some(key))
    }

    fn pickled(path: PathBuf, key: Option<&str>) -> Result<Self, Error> {
        let pickled = Pickled::open(&path, key)?;
        let entries = pickled.entries();
        Ok(Self { paths: vec![path], entries, pickled: Some(Arc::new(pickled)) })
    }

    fn safetensors(path: PathBuf) -> Result<Self, Error> {
        Ok(Self { entries: header::read(&path)?, paths: vec![path], pickled: None })
    }

    fn sharded(dir: &Path, index: &Path) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Index {
            weight_map: BTreeMap<String, String>,
        }
        let malformed = |why: String| Error::Malformed { path: index.to_owned(), why };
        let text = fs::read_to_string(index)
            .map_err(|source| Error::Io { path: index.to_owned(), source })?;
        let Index { weight_map } =
            serde_json::from_str(&text).map_err(|e| malformed(format!("shard index: {e}")))?;
        let shards: BTreeSet<&String> = weight_map.values().collect();
        let mut files = Self { paths: Vec::new(), entries: BTreeMap::new(), pickled: None };
        for shard in shards {
            // An index is data from elsewhere: it may name files beside itself, nothing else.
            let plain = Path::new(shard).components().count() == 1
                && !shard.contains(['/', '\\', '\0'])
                && shard != "..";
            if !plain {
                return Err(malformed(format!("shard name {shard:?}")));
            }
            let path = dir.join(shard);
            if Path::new(shard).extension().is_none_or(|e| e != "safetensors") {
                return Err(Error::Pickle { path });
            }
            for (name, entry) in header::read(&path)? {
                if weight_map.get(&name) != Some(shard) {
                    return Err(malformed(format!("{name} lies in {shard}, against the index")));
                }
                files.entries.insert(name, entry);
            }
            files.paths.push(path);
        }
        match weight_map.keys().find(|name| !files.entries.contains_key(*name)) {
            Some(name) => Err(malformed(format!("{name} is in no shard"))),
            None => Ok(files),
        }
    }
}

fn is_pickle(path: &Path) -> bool {
    path.extension().is_some_and(|e| PICKLES.iter().any(|p| e.eq_ignore_ascii_case(p)))
}

fn pickle_in(dir: &Path) -> Result<Option<PathBuf>, Error> {
    let io = |source| Error::Io { path: dir.to_owned(), source };
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(dir).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if is_pickle(&path) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found.into_iter().next())
}
