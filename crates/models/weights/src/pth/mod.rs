//! PyTorch's own files, `.pth`: a zip archive of raw values, and a pickle that says which tensor is where.
//!
//! A pickle is a program, and Python runs it when such a file is loaded. Here it is read as a description of
//! tensors and nothing else: what it may name is a list of six, none of which is ever called. No value is
//! looked at before the whole description was found sound.

mod archive;
mod pickle;
mod refusal;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use candle_core::{DType, Result as CandleResult, bail};
use safetensors::tensor::TensorView;

use self::archive::Span;
use self::refusal::Refusal;
use self::state::{Place, Storages};
use crate::error::Error;
use crate::header::Entry;

/// Larger descriptions are not read: a thousand tensors need a tenth of a megabyte.
const MAX_PICKLE: u64 = 16 << 20;
/// `little` or `big`.
const MAX_BYTE_ORDER: u64 = 16;
const PICKLE: &str = "data.pkl";

/// An opened file, with all that it says of its tensors.
#[derive(Debug)]
pub(crate) struct Pickled {
    file: File,
    places: BTreeMap<String, Place>,
}

impl Pickled {
    /// The tensors of the file at `path`, whose state dict is under `key` or all there is.
    ///
    /// # Errors
    /// [`Error::Calls`] for a pickle that is more than a description of tensors, [`Error::Malformed`] for
    /// anything else that `torch.save` would not have written.
    pub(crate) fn open(path: &Path, key: Option<&str>) -> Result<Self, Error> {
        let opened = || {
            let file = File::open(path)?;
            let places = places(&file, key)?;
            Ok(Self { file, places })
        };
        opened().map_err(|refusal: Refusal| refusal.of(path))
    }

    /// Names, types and shapes.
    pub(crate) fn entries(&self) -> BTreeMap<String, Entry> {
        let entry = |place: &Place| Entry { shape: place.shape.clone(), dtype: place.dtype };
        self.places.iter().map(|(name, place)| (name.clone(), entry(place))).collect()
    }

    /// Whether there is a tensor of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// Looks at a tensor as it lies in the file.
    pub(crate) fn look<R>(
        &self,
        name: &str,
        look: impl FnOnce(&TensorView) -> CandleResult<R>,
    ) -> CandleResult<R> {
        let Some(Place { dtype, shape, span }) = self.places.get(name) else {
            bail!("cannot find tensor {name}")
        };
        let bytes = archive::read(&self.file, span.start, span.bytes)?;
        look(&TensorView::new(DType::into(*dtype), shape.clone(), &bytes)?)
    }
}

fn places(file: &File, key: Option<&str>) -> Result<BTreeMap<String, Place>, Refusal> {
    let entries = archive::entries(file, file.metadata()?.len())?;
    let named = |name: &&String| name.rsplit('/').next() == Some(PICKLE);
    let mut pickles = entries.keys().filter(named);
    let (Some(name), None) = (pickles.next(), pickles.next()) else {
        return Err(Refusal::odd(format!("a file of torch.save has one {PICKLE}")));
    };
    let folder = name.strip_suffix(PICKLE).unwrap_or_default();
    if folder.matches('/').count() != 1 {
        return Err(Refusal::odd(format!("{name} is not where torch.save puts it")));
    }
    let read = |span: &Span, most| archive::read_up_to(file, *span, most);
    if let Some(order) = entries.get(&format!("{folder}byteorder"))
        && read(order, MAX_BYTE_ORDER)? != b"little"
    {
        return Err(Refusal::odd("its values are not in little-endian order"));
    }
    let pickle = read(&entries[name], MAX_PICKLE).map_err(|refusal| refusal.in_tensor(PICKLE))?;
    state::read(&pickle, key, Storages { entries: &entries, prefix: &format!("{folder}data/") })
}
