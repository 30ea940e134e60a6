//! What a run tells before its answer, piece by piece: captions of a film, for instance.
//!
//! Every part is kept until the run is forgotten, so that whoever joins a run later, or comes back
//! after a broken connection, misses none.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use crate::Failure;

/// The parts of an operation that answers all at once: there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum NoParts {}

impl JsonSchema for NoParts {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NoParts".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        false.into()
    }
}

/// The parts that one run has told so far. Clones share them.
#[derive(Clone)]
pub struct Parts(Arc<Inner>);

struct Inner {
    /// Most bytes of all parts together.
    limit: usize,
    told: Mutex<Told>,
    /// How many there are, and whether there will be more.
    state: watch::Sender<(usize, bool)>,
}

#[derive(Default)]
struct Told {
    parts: Vec<Value>,
    bytes: usize,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Parts").field(&*self.0.state.borrow()).finish()
    }
}

impl Parts {
    /// No parts yet, and at most `limit` bytes of them as JSON.
    pub(crate) fn new(limit: usize) -> Self {
        let (state, _) = watch::channel((0, true));
        Self(Arc::new(Inner { limit, told: Mutex::default(), state }))
    }

    /// # Errors
    /// `Internal` when the parts are larger together than is allowed.
    pub(crate) fn push(&self, part: &impl Serialize) -> Result<(), Failure> {
        let part = serde_json::to_value(part).map_err(|e| Failure::internal(e.to_string()))?;
        let mut told = self.lock();
        told.bytes = told.bytes.saturating_add(part.to_string().len());
        if told.bytes > self.0.limit {
            let limit = self.0.limit;
            return Err(Failure::internal(format!("the parts have more than {limit} bytes")));
        }
        told.parts.push(part);
        let count = told.parts.len();
        drop(told);
        self.0.state.send_modify(|state| state.0 = state.0.max(count));
        Ok(())
    }

    /// Bytes that are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Frees what is kept: whoever reads on is told no more.
    pub(crate) fn forget(&self) {
        self.close();
        *self.lock() = Told::default();
    }

    /// No more will come.
    pub(crate) fn close(&self) {
        self.0.state.send_modify(|state| state.1 = false);
    }

    /// The part with this number, counted from 0, once it was told; `None` when the run ended
    /// before it.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub async fn get(&self, number: usize) -> Option<Value> {
        let mut state = self.0.state.subscribe();
        // The sender lives as long as `self`.
        let _ = state.wait_for(|(count, more)| *count > number || !more).await;
        self.lock().parts.get(number).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        // A panic elsewhere leaves it whole.
        self.0.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn every_reader_gets_every_part_in_order() {
        let parts = Parts::new(100);
        parts.push(&json!({ "n": 0 })).unwrap();
        let late = parts.clone();
        let reader = tokio::spawn(async move {
            let mut seen = Vec::new();
            while let Some(part) = late.get(seen.len()).await {
                seen.push(part);
            }
            seen
        });
        tokio::task::yield_now().await;
        parts.push(&json!({ "n": 1 })).unwrap();
        parts.close();
        assert_eq!(reader.await.unwrap(), [json!({ "n": 0 }), json!({ "n": 1 })]);
        assert_eq!(parts.get(1).await, Some(json!({ "n": 1 })), "read again");
        assert_eq!(parts.get(2).await, None);
        assert_eq!(parts.bytes(), 14);
        parts.forget();
        assert_eq!((parts.bytes(), parts.get(0).await), (0, None));
    }

    #[tokio::test]
    async fn more_than_is_allowed_ends_the_run_and_not_the_memory() {
        let parts = Parts::new(10);
        parts.push(&"12345678").unwrap();
        assert!(parts.push(&"x").is_err());
        parts.close();
        assert_eq!(parts.get(0).await, Some(json!("12345678")));
        assert_eq!(parts.get(1).await, None);
    }
}
