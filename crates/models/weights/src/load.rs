//! Data from files, counted as it is read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::safetensors::{Load, MmapedSafetensors};
use candle_core::{DType, Device, Result, Shape, Tensor, bail};
use candle_nn::var_builder::SimpleBackend;
use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::files::Files;
use crate::pth::Pickled;

/// Values that one task widens: few enough to stay in a core's cache.
const RUN: usize = 1 << 16;

/// Reads of each name.
pub(crate) type Reads = Arc<Mutex<BTreeMap<String, usize>>>;

/// A source of tensors for a `VarBuilder` that remembers what it gave.
pub(crate) struct Source {
    files: Backing,
    reads: Reads,
}

/// How values are reached.
enum Backing {
    Mapped(MmapedSafetensors),
    Pickled(Arc<Pickled>),
}

impl Source {
    /// The tensors of `files`, whose headers have been checked.
    #[allow(unsafe_code)]
    pub(crate) fn open(files: &Files, reads: Reads) -> Result<Self> {
        if let Some(pickled) = &files.pickled {
            return Ok(Self { files: Backing::Pickled(Arc::clone(pickled)), reads });
        }
        // SAFETY: a mapping is sound while nobody changes the file. Model files are written once, by a
        // rename from a temporary name, and never edited in place; tensors are copied out at once and
        // the mapping is dropped when the network is built.
        let mapped = unsafe { MmapedSafetensors::multi(&files.paths)? };
        Ok(Self { files: Backing::Mapped(mapped), reads })
    }

    /// Looks at a tensor as it lies in its file.
    pub(crate) fn look<R>(
        &self,
        name: &str,
        look: impl FnOnce(&TensorView<'_>) -> Result<R>,
    ) -> Result<R> {
        match &self.files {
            Backing::Mapped(files) => look(&files.get(name)?),
            Backing::Pickled(file) => file.look(name, look),
        }
    }

    fn load(&self, name: &str, dtype: DType, dev: &Device) -> Result<Tensor> {
        *self
            .reads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(name.to_owned())
            .or_default() += 1;
        self.look(name, |view| {
            if view.dtype() == Dtype::F16 && dtype == DType::F32 && dev.is_cpu() {
                return widened(view);
            }
            view.load(dev)?.to_dtype(dtype)
        })
    }
}

/// Half precision in single, straight out of the mapping and by all cores: most of what a start on the
/// processor does.
fn widened(view: &TensorView<'_>) -> Result<Tensor> {
    let bytes = view.data();
    let mut values = vec![0f32; bytes.len() / 2];
    values.par_chunks_mut(RUN).zip(bytes.par_chunks(2 * RUN)).for_each(|(values, bytes)| {
        let pairs = bytes.chunks_exact(2);
        let halves: Vec<f16> = pairs.map(|pair| f16::from_le_bytes([pair[0], pair[1]])).collect();
        halves.convert_to_f32_slice(values);
    });
    Tensor::from_vec(values, view.shape(), &Device::Cpu)
}

impl SimpleBackend for Source {
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
        match &self.files {
            Backing::Mapped(files) => files.get(name).is_ok(),
            Backing::Pickled(file) => file.has(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_widens_to_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        // Every bit pattern more than once, so that several tasks share the work and the last is short.
        let bits: Vec<f16> = (0..=u16::MAX).chain(0..777).map(f16::from_bits).collect();
        let count = bits.len();
        let halves = Tensor::from_vec(bits.clone(), count, &Device::Cpu).unwrap();
        candle_core::safetensors::save(&[("halves", halves)].into(), &path).unwrap();
        let source = Source::open(&Files::open_file(&path).unwrap(), Reads::default()).unwrap();
        let wide = source.load("halves", DType::F32, &Device::Cpu).unwrap();
        let wide = wide.to_vec1::<f32>().unwrap();
        assert_eq!(wide.len(), count);
        for (wide, half) in wide.iter().zip(&bits) {
            let same = *wide == half.to_f32() || (wide.is_nan() && half.is_nan());
            assert!(same, "{:#06x} became {wide}", half.to_bits());
        }
    }
}
