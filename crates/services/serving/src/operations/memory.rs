//! `memory_stats`: what the process and its models take.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Call, Cost, Failure, NoParts, Operation};

/// Which models are loaded, and the bytes they are said to take. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct LoadedModels(Arc<Mutex<Vec<(&'static str, u64)>>>);

impl LoadedModels {
    /// A listener for [`crate::ModelPool::with_listener`].
    pub fn listener(&self) -> impl Fn(Vec<(&'static str, u64)>) + Send + 'static {
        let own = self.clone();
        move |loaded| *own.0.lock().unwrap_or_else(PoisonError::into_inner) = loaded
    }

    /// The bytes that the model called `name` is said to take; `None` while it is not loaded.
    pub fn bytes_of(&self, name: &str) -> Option<u64> {
        self.get().into_iter().find(|(loaded, _)| *loaded == name).map(|(_, bytes)| bytes)
    }

    fn get(&self) -> Vec<(&'static str, u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The operation.
#[derive(Debug)]
pub struct MemoryStats {
    models: LoadedModels,
}

/// Nothing.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct MemoryRequest {}

/// Bytes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MemoryResponse {
    /// Memory of the process; absent where the system does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    resident_bytes: Option<u64>,
    /// The most that it has been.
    #[serde(skip_serializing_if = "Option::is_none")]
    resident_peak_bytes: Option<u64>,
    /// Loaded models, and the bytes each is said to take on the device.
    models: BTreeMap<&'static str, u64>,
}

impl MemoryStats {
    /// The operation over what `models` knows.
    pub fn new(models: LoadedModels) -> Self {
        Self { models }
    }
}

#[async_trait]
impl Operation for MemoryStats {
    type Request = MemoryRequest;
    type Plan = ();
    type Part = NoParts;
    type Response = MemoryResponse;

    fn name(&self) -> &'static str {
        "memory_stats"
    }

    fn summary(&self) -> &'static str {
        "Says how much memory the process and its models take."
    }

    fn plan(&self, _: MemoryRequest) -> Result<(), Failure> {
        Ok(())
    }

    fn cost(&self, (): &()) -> Cost {
        Cost::LIGHT
    }

    async fn run(&self, (): (), _: &Call) -> Result<MemoryResponse, Failure> {
        let status = tokio::fs::read_to_string("/proc/self/status").await.unwrap_or_default();
        Ok(MemoryResponse {
            resident_bytes: kilobytes(&status, "VmRSS:"),
            resident_peak_bytes: kilobytes(&status, "VmHWM:"),
            models: self.models.get().into_iter().collect(),
        })
    }
}

/// A line of `/proc/self/status`, in bytes.
fn kilobytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(number * 1024)
}

#[cfg(test)]
mod tests {
    use super::kilobytes;

    #[test]
    fn lines_of_the_status_are_read() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(kilobytes(status, "VmRSS:"), Some(1 << 20));
        assert_eq!(kilobytes(status, "VmHWM:"), Some(2 << 20));
        assert_eq!(kilobytes("", "VmRSS:"), None);
    }
}
