//! Headers of safetensors files: names, types and shapes, without the data.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use candle_core::DType;
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use crate::error::Error;

/// Larger headers are not read: the full-size networks need a fifth of a megabyte.
const MAX_HEADER: u64 = 64 << 20;

/// One tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Type of the elements.
    pub dtype: DType,
}

impl Entry {
    /// Number of elements.
    pub fn elements(&self) -> u64 {
        self.shape.iter().fold(1, |n, &d| n.saturating_mul(d as u64))
    }
}

/// The tensors that `path` holds.
pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, Entry>, Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let malformed = |why: String| Error::Malformed { path: path.to_owned(), why };
    let mut file = File::open(path).map_err(io)?;
    let size = file.metadata().map_err(io)?.len();
    let mut length = [0u8; 8];
    if size < 8 {
        return Err(malformed(format!("{size} bytes are no safetensors file")));
    }
    file.read_exact(&mut length).map_err(io)?;
    let header = u64::from_le_bytes(length);
    if header > MAX_HEADER || header > size - 8 {
        return Err(malformed(format!(
            "no safetensors file: a header of {header} bytes in a file of {size}"
        )));
    }
    let mut bytes = Vec::with_capacity(header as usize);
    file.take(header).read_to_end(&mut bytes).map_err(io)?;
    let metadata: Metadata = serde_json::from_slice(&bytes)
        .map_err(|e| malformed(format!("safetensors header: {e}")))?;

    let mut entries = BTreeMap::new();
    let end = metadata.data_len() as u64;
    for (name, info) in metadata.tensors() {
        let dtype = match info.dtype {
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            Dtype::F32 => DType::F32,
            Dtype::F64 => DType::F64,
            Dtype::I64 => DType::I64,
            other => return Err(malformed(format!("{name} is of type {other:?}"))),
        };
        entries.insert(name, Entry { shape: info.shape.clone(), dtype });
    }
    match (size - 8 - header).cmp(&end) {
        std::cmp::Ordering::Equal => Ok(entries),
        std::cmp::Ordering::Less => Err(malformed(format!(
            "cut short: {} bytes of data of {end}; fetch it again",
            size - 8 - header
        ))),
        std::cmp::Ordering::Greater => Err(malformed("bytes after the last tensor".into())),
    }
}
