//! Data from mapped files, counted as it is read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device, Result, Shape, Tensor, bail};
use candle_nn::var_builder::SimpleBackend;

/// Reads of each name.
pub(crate) type Reads = Arc<Mutex<BTreeMap<String, usize>>>;

/// A source of tensors for a `VarBuilder` that remembers what it gave.
pub(crate) struct Mapped {
    files: MmapedSafetensors,
    reads: Reads,
}

impl Mapped {
    /// Map `paths`, whose headers have been checked.
    #[allow(unsafe_code)]
    pub(crate) fn open(paths: &[PathBuf], reads: Reads) -> Result<Self> {
        // SAFETY: a mapping is sound while nobody changes the file. Model files are written once, by a
        // rename from a temporary name, and never edited in place; tensors are copied out at once and
        // the mapping is dropped when the network is built.
        let files = unsafe { MmapedSafetensors::multi(paths)? };
        Ok(Self { files, reads })
    }

    fn load(&self, name: &str, dtype: DType, dev: &Device) -> Result<Tensor> {
        *self
            .reads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(name.to_owned())
            .or_default() += 1;
        self.files.load(name, dev)?.to_dtype(dtype)
    }
}

impl SimpleBackend for Mapped {
    fn get(
        &self,
        s: Shape,
        name: &str,
        _: candle_nn::Init,
        dtype: DType,
        dev: &Device,
    ) -> Result<Tensor> {
        let tensor = self.load(name, dtype, dev)?;
        if tensor.shape() != &s {
            bail!("{name} is {:?} instead of {s:?}", tensor.shape());
        }
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, dev: &Device) -> Result<Tensor> {
        self.load(name, dtype, dev)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.files.get(name).is_ok()
    }
}
