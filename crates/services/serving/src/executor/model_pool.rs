//! Models by name: loaded at the start or on first use, evicted when another needs their room.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use parallax_ports::{MetricsSink, NoMetrics};
use tracing::info;

use crate::metrics;
use crate::{Failure, FailureKind};

type Loaded = Arc<dyn Any + Send + Sync>;
type Listener = Box<dyn Fn(Vec<(&'static str, u64)>) + Send>;
type Measure = Box<dyn Fn() -> ModelBytes + Send>;
type Load = Box<dyn Fn() -> Result<Loaded, Failure> + Send>;

/// Bytes of the device's memory that a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ModelBytes {
    /// While its parts take turns there, of a model that keeps to the room that it finds.
    pub least: u64,
    /// All of it.
    pub whole: u64,
}

/// A model that can be loaded.
pub struct Model {
    name: &'static str,
    bytes: Measure,
    load: Load,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Model {
    /// A model that `load` makes and that takes `bytes` of the device's memory.
    pub fn new<T: Send + Sync + 'static>(
        name: &'static str,
        bytes: u64,
        load: impl Fn() -> Result<T, Failure> + Send + 'static,
    ) -> Self {
        Self::measured(name, move || ModelBytes { least: bytes, whole: bytes }, load)
    }

    /// As [`Model::new`], where the bytes are only known once it can be loaded.
    pub fn measured<T: Send + Sync + 'static>(
        name: &'static str,
        bytes: impl Fn() -> ModelBytes + Send + 'static,
        load: impl Fn() -> Result<T, Failure> + Send + 'static,
    ) -> Self {
        let load = move || load().map(|model| Arc::new(model) as Loaded);
        Self { name, bytes: Box::new(bytes), load: Box::new(load) }
    }
}

struct Entry {
    model: Model,
    bytes: u64,
    loaded: Option<Loaded>,
    used: u64,
}

/// The models of one device. Lives on the executor's thread.
pub struct ModelPool {
    entries: Vec<Entry>,
    budget: u64,
    clock: u64,
    metrics: Arc<dyn MetricsSink>,
    listener: Listener,
}

impl std::fmt::Debug for ModelPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|entry| &entry.model)).finish()
    }
}

impl ModelPool {
    /// No models, within `budget` bytes of the device's memory.
    pub fn new(budget: u64) -> Self {
        Self {
            entries: Vec::new(),
            budget,
            clock: 0,
            metrics: Arc::new(NoMetrics),
            listener: Box::new(|_| ()),
        }
    }

    /// Counts evictions and bytes there.
    #[must_use]
    pub fn with_metrics(mut self, metrics: Arc<dyn MetricsSink>) -> Self {
        self.metrics = metrics;
        self
    }

    /// Tells `listener` which models are loaded, and their bytes, whenever that changes.
    #[must_use]
    pub fn with_listener(
        mut self,
        listener: impl Fn(Vec<(&'static str, u64)>) + Send + 'static,
    ) -> Self {
        self.listener = Box::new(listener);
        self
    }

    /// Adds a model; nothing is loaded yet.
    #[must_use]
    pub fn with(mut self, model: Model) -> Self {
        self.entries.push(Entry { model, bytes: 0, loaded: None, used: 0 });
        self
    }

    /// The model called `name`, loaded if need be. What has not been used for the longest time
    /// makes room, unless somebody holds it.
    ///
    /// # Errors
    /// `Internal` when there is no such model of this type; `Unavailable` when it does not fit
    /// beside those in use; otherwise as its loader says.
    pub fn get<T: Send + Sync + 'static>(&mut self, name: &str) -> Result<Arc<T>, Failure> {
        let Some(index) = self.entries.iter().position(|entry| entry.model.name == name) else {
            return Err(Failure::internal(format!("no model is called {name:?}")));
        };
        self.clock += 1;
        self.entries[index].used = self.clock;
        let loaded = match &self.entries[index].loaded {
            Some(loaded) => loaded.clone(),
            None => {
                let ModelBytes { least, whole } = (self.entries[index].model.bytes)();
                // One that has parts takes all that there is and no more.
                let bytes = whole.min(self.budget).max(least);
                self.make_room(bytes, index)?;
                info!(model = name, bytes, "loading");
                let started = Instant::now();
                let loaded = (self.entries[index].model.load)()?;
                let seconds = started.elapsed().as_secs_f64();
                info!(model = name, bytes, seconds, "loaded");
                let label = [("model", self.entries[index].model.name)];
                self.metrics.gauge(metrics::LOAD, &label, seconds);
                self.entries[index].bytes = bytes;
                self.entries[index].loaded = Some(loaded.clone());
                self.tell();
                loaded
            }
        };
        loaded
            .downcast()
            .map_err(|_| Failure::internal(format!("model {name:?} is of another type")))
    }

    /// Unloads every model but `name` that nobody holds; whether there was one.
    pub fn evict_others(&mut self, name: &str) -> bool {
        let mut evicted = false;
        for entry in &mut self.entries {
            evicted |= entry.model.name != name && entry.evict();
        }
        self.tell();
        evicted
    }

    /// Unloads everything.
    pub(super) fn forget(&mut self) {
        for entry in &mut self.entries {
            entry.loaded = None;
        }
        self.tell();
    }

    fn bytes(&self) -> u64 {
        let loaded = self.entries.iter().filter(|entry| entry.loaded.is_some());
        loaded.fold(0, |sum, entry| sum.saturating_add(entry.bytes))
    }

    fn make_room(&mut self, bytes: u64, keep: usize) -> Result<(), Failure> {
        while self.bytes().saturating_add(bytes) > self.budget {
            let mut order: Vec<usize> = (0..self.entries.len()).filter(|n| *n != keep).collect();
            order.sort_by_key(|n| self.entries[*n].used);
            let Some(gone) = order.into_iter().find(|n| self.entries[*n].evict()) else {
                let (name, budget) = (self.entries[keep].model.name, self.budget);
                let message =
                    format!("model {name:?} takes {bytes} bytes at least; {budget} are allowed");
                return Err(Failure::new(FailureKind::Unavailable, message));
            };
            info!(model = self.entries[gone].model.name, "evicted");
            self.metrics.count(metrics::EVICTIONS, &[], 1);
            self.tell();
        }
        Ok(())
    }

    fn tell(&self) {
        self.metrics.gauge(metrics::MODEL_BYTES, &[], self.bytes() as f64);
        let loaded = self.entries.iter().filter(|entry| entry.loaded.is_some());
        (self.listener)(loaded.map(|entry| (entry.model.name, entry.bytes)).collect());
    }
}

impl Entry {
    fn evict(&mut self) -> bool {
        let idle = self.loaded.as_ref().is_some_and(|loaded| Arc::strong_count(loaded) == 1);
        if idle {
            self.loaded = None;
        }
        idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn models_load_on_first_use_and_the_idlest_makes_room() {
        let loads = Arc::new(AtomicU32::new(0));
        let model = |name, bytes| {
            let loads = loads.clone();
            Model::new(name, bytes, move || Ok(loads.fetch_add(1, Ordering::Relaxed)))
        };
        let mut models = ModelPool::new(10)
            .with(model("a", 4))
            .with(model("b", 4))
            .with(model("c", 6))
            .with(model("huge", 11));
        assert_eq!(loads.load(Ordering::Relaxed), 0);
        assert_eq!(*models.get::<u32>("a").unwrap(), 0);
        assert_eq!(*models.get::<u32>("b").unwrap(), 1);
        assert_eq!(*models.get::<u32>("a").unwrap(), 0, "kept");
        let held = models.get::<u32>("a").unwrap();
        assert_eq!(*models.get::<u32>("c").unwrap(), 2, "b was idle longer and is not held");
        assert_eq!(models.bytes(), 10);
        let refused = models.get::<u32>("b").map(|_| ());
        assert_eq!(refused, Ok(()), "c makes room for b");
        assert_eq!(models.get::<u32>("huge").unwrap_err().kind, FailureKind::Unavailable);
        drop(held);
        assert_eq!(models.get::<String>("a").unwrap_err().kind, FailureKind::Internal);
        assert_eq!(models.get::<u32>("none").unwrap_err().kind, FailureKind::Internal);
    }

    #[test]
    fn a_model_in_parts_takes_what_there_is() {
        let parted = |least| {
            let bytes = move || ModelBytes { least, whole: 30 };
            ModelPool::new(10).with(Model::new("small", 1, || Ok(0u32))).with(Model::measured(
                "parted",
                bytes,
                || Ok(1u32),
            ))
        };
        let mut models = parted(8);
        models.get::<u32>("small").unwrap();
        assert_eq!(*models.get::<u32>("parted").unwrap(), 1);
        assert_eq!(models.bytes(), 10, "the other one went");
        let refused = parted(11).get::<u32>("parted").unwrap_err();
        assert_eq!(refused.kind, FailureKind::Unavailable);
        assert!(refused.message.contains("11 bytes at least; 10"), "{refused}");
    }

    #[test]
    fn a_failed_load_is_tried_again() {
        let tries = AtomicU32::new(0);
        let load = move || match tries.fetch_add(1, Ordering::Relaxed) {
            0 => Err(Failure::new(FailureKind::Unavailable, "not there yet")),
            n => Ok(n),
        };
        let mut models = ModelPool::new(1).with(Model::new("a", 1, load));
        assert!(models.get::<u32>("a").is_err());
        assert_eq!(*models.get::<u32>("a").unwrap(), 1);
    }
}
