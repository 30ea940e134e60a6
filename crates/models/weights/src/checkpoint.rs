//! One network's weights on disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use candle_core::{DType, Device, Result as CandleResult};
use candle_nn::VarBuilder;

use crate::error::{Error, Mismatch, OddTensor};
use crate::files::Files;
use crate::header::Entry;
use crate::inventory::Inventory;
use crate::load::{Reads, Source};
use crate::manifest::Recognise;
use crate::values::odd;

/// Buffers that some releases of the exporting libraries stored although they follow from the shapes.
const DERIVED: [&str; 1] = ["position_ids"];

/// An opened, not yet read, set of weight files.
#[derive(Debug)]
pub struct Checkpoint {
    dir: PathBuf,
    files: Files,
    recognise: Recognise,
}

/// What a network takes on disk and in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Number of tensors.
    pub tensors: usize,
    /// Number of elements.
    pub parameters: u64,
    /// Bytes of the tensors as stored.
    pub stored_bytes: u64,
    /// Bytes of the tensors in the type asked for.
    pub resident_bytes: u64,
}

impl Checkpoint {
    /// Find the weights in `dir` and read their headers.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        Ok(Self { dir: dir.to_owned(), files: Files::open(dir)?, recognise: |_| None })
    }

    /// Reads the header of one file that an engine knows by its name: `.safetensors`, or PyTorch's `.pth`,
    /// whose pickle is read as a description of tensors and never run.
    ///
    /// # Errors
    /// [`Error::Calls`] when the pickle of a `.pth` file wants more than that, [`Error::Malformed`] for
    /// everything else that should not be in such a file, [`Error::Pickle`] for pickles of other names.
    pub fn open_file(path: &Path) -> Result<Self, Error> {
        let dir = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self { dir, files: Files::open_file(path)?, recognise: |_| None })
    }

    /// As [`Checkpoint::open_file`] for a file of `torch.save` whatever its extension, whose state dict is all that
    /// it has, under `key`.
    ///
    /// # Errors
    /// As [`Checkpoint::open_file`].
    pub fn open_within(path: &Path, key: &str) -> Result<Self, Error> {
        let dir = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self { dir, files: Files::open_within(path, key)?, recognise: |_| None })
    }

    /// With `recognise` to say what the tensors are where they are not those that are wanted.
    #[must_use]
    pub fn recognised_by(mut self, recognise: Recognise) -> Self {
        self.recognise = recognise;
        self
    }

    /// The files.
    pub fn paths(&self) -> &[PathBuf] {
        &self.files.paths
    }

    /// The tensors.
    pub fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.files.entries
    }

    /// What these tensors seem to be.
    pub fn describe(&self) -> String {
        let entries = &self.files.entries;
        (self.recognise)(entries).unwrap_or_else(|| match entries.keys().next() {
            Some(name) => format!("{} tensors of an unknown network ({name}, ..)", entries.len()),
            None => "no tensors".into(),
        })
    }

    /// Sizes, with the elements as `dtype` in memory.
    pub fn plan(&self, dtype: DType) -> MemoryPlan {
        let entries = self.files.entries.values();
        let parameters: u64 = entries.clone().map(Entry::elements).sum();
        MemoryPlan {
            tensors: self.files.entries.len(),
            parameters,
            stored_bytes: entries.map(|e| e.elements() * e.dtype.size_in_bytes() as u64).sum(),
            resident_bytes: parameters * dtype.size_in_bytes() as u64,
        }
    }

    /// Whether names and shapes are those of `inventory`, the network called `expected`.
    ///
    /// # Errors
    /// [`Error::Mismatch`] with both networks and the tensors that differ.
    pub fn check(&self, expected: &str, inventory: &Inventory) -> Result<(), Error> {
        let found = &self.files.entries;
        let (mut missing, mut misshapen) = (Vec::new(), Vec::new());
        for (name, shape) in inventory.iter() {
            match found.get(name) {
                None => missing.push(name.to_owned()),
                Some(e) if e.shape != shape => {
                    misshapen.push((name.to_owned(), e.shape.clone(), shape.to_vec()))
                }
                Some(_) => {}
            }
        }
        let derived =
            |name: &str| name.rsplit('.').next().is_some_and(|leaf| DERIVED.contains(&leaf));
        let extra: Vec<String> = found
            .keys()
            .filter(|name| inventory.shape(name).is_none() && !derived(name))
            .cloned()
            .collect();
        if missing.is_empty() && extra.is_empty() && misshapen.is_empty() {
            return Ok(());
        }
        let path = self.path();
        let (expected, found) = (expected.to_owned(), self.describe());
        Err(Error::Mismatch(Box::new(Mismatch {
            path,
            expected,
            found,
            missing,
            extra,
            misshapen,
        })))
    }

    /// Reads every value: whether it is a finite number, and one in the type that `dtype` gives the
    /// tensor of a name. Headers are not compared with any network.
    ///
    /// # Errors
    /// [`Error::Values`] naming the tensors that hold others.
    pub fn check_values(&self, dtype: impl Fn(&str) -> DType) -> Result<(), Error> {
        let failed = |source| Error::Build { what: self.path().display().to_string(), source };
        let source = Source::open(&self.files, Reads::default()).map_err(failed)?;
        let (mut tensors, mut narrow) = (Vec::<OddTensor>::new(), DType::F32);
        for name in self.files.entries.keys() {
            let wanted = dtype(name);
            let found = source.look(name, |view| Ok(odd(name, view, wanted))).map_err(failed)?;
            if let Some(found) = found {
                tensors.push(found);
                narrow = wanted;
            }
        }
        if tensors.is_empty() {
            return Ok(());
        }
        Err(Error::Values { path: self.path(), dtype: narrow.as_str().to_owned(), tensors })
    }

    /// The file, or the folder of its shards.
    fn path(&self) -> PathBuf {
        match self.files.paths.as_slice() {
            [one] => one.clone(),
            _ => self.dir.clone(),
        }
    }

    /// Build the network called `what`: its inventory is checked first, then every tensor is read once
    /// as `dtype` onto `device`.
    ///
    /// `build` runs twice, the first time on shapes without data.
    pub fn build<T>(
        &self,
        what: &str,
        dtype: DType,
        device: &Device,
        build: impl Fn(VarBuilder) -> CandleResult<T>,
    ) -> Result<T, Error> {
        let failed = |source| Error::Build { what: what.to_owned(), source };
        let inventory = Inventory::of(&build).map_err(failed)?;
        self.check(what, &inventory)?;
        let reads = Reads::default();
        let source = Source::open(&self.files, Arc::clone(&reads)).map_err(failed)?;
        let network = build(VarBuilder::from_backend(Box::new(source), dtype, device.clone()))
            .map_err(failed)?;
        let reads = reads.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |name: &str| reads.get(name).copied().unwrap_or(0);
        let names: Vec<String> = inventory
            .iter()
            .filter(|(name, _)| count(name) != 1)
            .map(|(name, _)| format!("{name} ({} times)", count(name)))
            .collect();
        if names.is_empty() {
            Ok(network)
        } else {
            Err(Error::Uneven { what: what.to_owned(), names })
        }
    }
}
