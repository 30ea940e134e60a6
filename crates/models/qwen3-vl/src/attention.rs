//! Attention of tokens to those before them, and what is kept of those.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::kv_cache::KvCache;
use candle_nn::ops::softmax_last_dim;

/// Tokens by which what is kept grows.
const STEP: usize = 256;

/// Added to scores that do not count: finite, so that a query of padding, which sees nothing, gives numbers.
const HIDDEN: f32 = -1e30;

/// Keys and values of the tokens so far, one pair for each layer.
#[derive(Debug)]
pub(crate) struct Cache {
    pub(crate) layers: Vec<KvCache>,
}

impl Cache {
    pub(crate) fn new(layers: usize) -> Self {
        // (B, heads, S, D)
        Self { layers: (0..layers).map(|_| KvCache::new(2, STEP)).collect() }
    }
}

/// What is added to the scores (B, 1, S, T) of `count` queries, the first being token `first` of rows that begin with so
/// much padding; `None` where every query sees all that there is.
///
/// # Errors
/// Those of the device.
pub(crate) fn mask(
    first: usize,
    count: usize,
    padding: &[usize],
    (device, dtype): (&Device, DType),
) -> Result<Option<Tensor>> {
    if count == 1 && padding.iter().all(|&padding| padding == 0) {
        return Ok(None);
    }
    let keys = first + count;
    let mut values = Vec::with_capacity(padding.len() * count * keys);
    for &padding in padding {
        for query in first..keys {
            let seen = |key: usize| key >= padding && key <= query;
            values.extend((0..keys).map(|key| if seen(key) { 0.0 } else { HIDDEN }));
        }
    }
    let mask = Tensor::from_vec(values, (padding.len(), 1, count, keys), device)?;
    Ok(Some(mask.to_dtype(dtype)?))
}

/// Queries (B, heads, S, D) to keys and values (B, shared, T, D), where consecutive heads of queries share one of keys;
/// gives (B, S, heads D).
///
/// # Errors
/// When the shapes do not fit.
pub(crate) fn attend(q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
    let (batch, heads, count, width) = q.dims4()?;
    let (_, shared, keys, _) = k.dims4()?;
    let q = (q * (width as f64).powf(-0.5))?;
    // (B, heads, S, D) -> (B, shared, heads / shared S, D)
    let q = q.reshape((batch, shared, heads / shared * count, width))?;
    let mut scores = q.matmul(&k.transpose(2, 3)?)?;
    if let Some(mask) = mask {
        scores = scores.reshape((batch, heads, count, keys))?.broadcast_add(mask)?;
    }
    let weights = softmax_last_dim(&scores)?;
    let weights = weights.reshape((batch, shared, heads / shared * count, keys))?;
    let y = weights.matmul(v)?.reshape((batch, heads, count, width))?;
    y.transpose(1, 2)?.reshape((batch, count, heads * width))
}
