//! A state dict: names with tensors, each a part of a storage.

use std::collections::BTreeMap;

use candle_core::DType;

use super::archive::Span;
use super::pickle::{Global, Heap, Id, Value, parse};
use super::refusal::Refusal;

/// More dimensions no network has.
const MAX_DIMENSIONS: usize = 8;

/// Tensors may share a storage, as tied weights do, but a small file is not to stand for any number of them.
const MOST_SHARED: u64 = 4;

/// A tensor in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
    pub(super) span: Span,
}

/// Entries of the archive that hold values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storages<'a> {
    /// All entries.
    pub(super) entries: &'a BTreeMap<String, Span>,
    /// What the names of storages begin with.
    pub(super) prefix: &'a str,
}

impl Storages<'_> {
    fn bytes(&self) -> u64 {
        let named = self.entries.range(self.prefix.to_owned()..);
        named
            .take_while(|(name, _)| name.starts_with(self.prefix))
            .map(|(_, span)| span.bytes)
            .sum()
    }
}

/// The tensors of the state dict that is written in `pickle`: under `key`, beside which there is nothing, or by
/// itself.
pub(super) fn read(
    pickle: &[u8],
    key: Option<&str>,
    storages: Storages,
) -> Result<BTreeMap<String, Place>, Refusal> {
    let (heap, root) = parse(pickle)?;
    let reader = Reader { heap: &heap, storages };
    let root = key.map_or(Ok(root), |key| reader.under(key, root))?;
    let Value::Dict(items) = heap.get(root) else {
        return Err(Refusal::odd(format!(
            "it holds {} instead of a state dict",
            kind(&heap, root)
        )));
    };
    let mut places = BTreeMap::new();
    let mut left = storages.bytes().saturating_mul(MOST_SHARED);
    for &(key, value) in items {
        let name = reader.name(key)?;
        let place = reader.tensor(value).map_err(|refusal| refusal.in_tensor(name))?;
        left = left.checked_sub(place.span.bytes).ok_or_else(|| {
            Refusal::odd(format!(
                "its tensors hold more than {MOST_SHARED} times what its storages do"
            ))
        })?;
        if places.insert(name.to_owned(), place).is_some() {
            return Err(Refusal::odd(format!("two tensors are called {name}")));
        }
    }
    Ok(places)
}

#[derive(Debug, Clone, Copy)]
struct Reader<'a> {
    heap: &'a Heap<'a>,
    storages: Storages<'a>,
}

impl<'a> Reader<'a> {
    /// The one value of a dict, which is under `key`.
    fn under(self, key: &str, root: Id) -> Result<Id, Refusal> {
        if let Value::Dict(items) = self.heap.get(root)
            && let [(name, inner)] = items.as_slice()
            && self.name(*name)? == key
        {
            return Ok(*inner);
        }
        Err(Refusal::odd(format!("it holds something else than one dict under {key:?}")))
    }

    fn name(self, id: Id) -> Result<&'a str, Refusal> {
        match self.heap.get(id) {
            Value::Text(name) if !name.is_empty() && !name.contains(char::is_control) => Ok(name),
            _ => Err(Refusal::odd("its state dict has a key that is no plain name")),
        }
    }

    fn tensor(self, id: Id) -> Result<Place, Refusal> {
        let Value::Tensor(arguments) = self.heap.get(id) else {
            let found = kind(self.heap, id);
            return Err(Refusal::odd(format!(
                "{found} instead of a tensor; only the state dict itself is read, with nothing around it"
            )));
        };
        // A seventh argument would say that the values mean something else.
        let Ok(&[storage, offset, shape, strides, _gradient, hooks]) =
            <&[Id; 6]>::try_from(self.tuple(*arguments)?)
        else {
            return Err(Refusal::odd("a tensor of another kind"));
        };
        if !matches!(self.heap.get(hooks), Value::Dict(none) if none.is_empty()) {
            return Err(Refusal::odd("a tensor with hooks"));
        }
        let (dtype, storage) = self.storage(storage)?;
        let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
        let elements = contiguous(&shape, &strides)?;
        let size = dtype.size_in_bytes() as u64;
        let span = (|| {
            let skipped = (self.size(offset)? as u64).checked_mul(size)?;
            let bytes = elements.checked_mul(size)?;
            let inside = skipped.checked_add(bytes)? <= storage.bytes;
            inside.then_some(Span { start: storage.start + skipped, bytes })
        })();
        let span = span.ok_or_else(|| Refusal::odd("it reaches out of its storage"))?;
        Ok(Place { dtype, shape, span })
    }

    /// The type of a storage's values, and where they lie.
    fn storage(self, id: Id) -> Result<(DType, Span), Refusal> {
        let odd = || Refusal::odd("a storage that is described in another way than by torch.save");
        let Value::Outside(id) = self.heap.get(id) else { return Err(odd()) };
        let Ok(&[word, dtype, key, device, elements]) = <&[Id; 5]>::try_from(self.tuple(*id)?)
        else {
            return Err(odd());
        };
        let (
            Value::Text("storage"),
            Value::Global(Global::Storage(dtype)),
            Value::Text(key),
            Value::Text(_),
        ) = (self.heap.get(word), self.heap.get(dtype), self.heap.get(key), self.heap.get(device))
        else {
            return Err(odd());
        };
        let name = format!("{}{}", self.storages.prefix, key);
        let span = self.storages.entries.get(&name).copied();
        let span = span.ok_or_else(|| Refusal::odd(format!("its storage {key:?} is missing")))?;
        let elements = self.size(elements).ok_or_else(odd)? as u64;
        if elements.checked_mul(dtype.size_in_bytes() as u64) != Some(span.bytes) {
            return Err(Refusal::odd(format!(
                "its storage {key:?} should have {elements} values and has {} bytes",
                span.bytes
            )));
        }
        Ok((*dtype, span))
    }

    fn tuple(self, id: Id) -> Result<&'a [Id], Refusal> {
        match self.heap.get(id) {
            Value::Tuple(values) => Ok(values),
            _ => Err(Refusal::odd(format!("{} instead of a tuple", kind(self.heap, id)))),
        }
    }

    fn size(self, id: Id) -> Option<usize> {
        match self.heap.get(id) {
            Value::Int(size) => usize::try_from(*size).ok(),
            _ => None,
        }
    }

    fn sizes(self, id: Id) -> Result<Vec<usize>, Refusal> {
        let ids = self.tuple(id)?;
        let odd = || Refusal::odd("its shape is none");
        if ids.len() > MAX_DIMENSIONS {
            return Err(odd());
        }
        ids.iter().map(|id| self.size(*id).ok_or_else(odd)).collect()
    }
}

/// The number of elements of a tensor whose last dimension runs fastest. The stride of a dimension of one
/// element is never used, and may be anything.
fn contiguous(shape: &[usize], strides: &[usize]) -> Result<u64, Refusal> {
    if shape.len() != strides.len() {
        return Err(Refusal::odd("its shape and its strides differ in length"));
    }
    let too_large = || Refusal::odd("its shape is too large");
    let elements = shape.iter().try_fold(1u64, |n, size| n.checked_mul(*size as u64));
    let elements = elements.ok_or_else(too_large)?;
    let mut expected = 1u64;
    for (&size, &stride) in shape.iter().zip(strides).rev() {
        if size != 1 && elements > 0 && stride as u64 != expected {
            return Err(Refusal::odd("it does not lie in one piece (strides); save a copy of it"));
        }
        expected = expected.saturating_mul(size as u64);
    }
    Ok(elements)
}

fn kind(heap: &Heap, id: Id) -> &'static str {
    match heap.get(id) {
        Value::None => "nothing",
        Value::Bool => "a truth value",
        Value::Int(_) => "a number",
        Value::Text(_) => "text",
        Value::Global(_) => "a name",
        Value::Tuple(_) => "a tuple",
        Value::Dict(_) => "a dict",
        Value::Tensor(_) => "a tensor",
        Value::Outside(_) => "a storage",
    }
}
