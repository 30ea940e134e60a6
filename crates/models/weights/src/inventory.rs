//! The names and shapes that a network reads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Result, Shape, Tensor, bail};
use candle_nn::VarBuilder;
use candle_nn::var_builder::SimpleBackend;

/// Names and shapes, sorted by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    shapes: BTreeMap<String, Vec<usize>>,
}

impl Inventory {
    /// What `build` reads. Nothing is allocated: each tensor it sees is one zero, repeated.
    ///
    /// # Errors
    /// Those of `build`, and a name read twice.
    pub fn of<T>(build: impl Fn(VarBuilder) -> Result<T>) -> Result<Self> {
        let asked = Arc::new(Mutex::new(BTreeMap::new()));
        let backend = Recorder { asked: Arc::clone(&asked) };
        build(VarBuilder::from_backend(Box::new(backend), DType::F32, Device::Cpu))?;
        let shapes = std::mem::take(&mut *asked.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Self { shapes })
    }

    /// Names with shapes, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.shapes.iter().map(|(name, shape)| (name.as_str(), shape.as_slice()))
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.shapes.len()
    }

    /// Whether the network reads nothing.
    pub fn is_empty(&self) -> bool {
        self.shapes.is_empty()
    }

    /// The shape of one tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.shapes.get(name).map(Vec::as_slice)
    }

    /// Number of elements of all tensors.
    pub fn parameters(&self) -> u64 {
        self.shapes.values().map(|s| s.iter().map(|&d| d as u64).product::<u64>()).sum()
    }
}

struct Recorder {
    asked: Arc<Mutex<BTreeMap<String, Vec<usize>>>>,
}

impl SimpleBackend for Recorder {
    fn get(
        &self,
        s: Shape,
        name: &str,
        _: candle_nn::Init,
        dtype: DType,
        dev: &Device,
    ) -> Result<Tensor> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.insert(name.to_owned(), s.dims().to_vec()).is_some() {
            bail!("{name} is read twice");
        }
        Tensor::zeros((), dtype, dev)?.broadcast_as(s)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        bail!("{name} is read without a shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}
