//! An engine on its way from a name to something that converts.

use std::fmt::Debug;
use std::sync::Arc;

use parallax_stereo::{Capabilities, Engine, Error, Reach, Run};

use crate::Refused;

/// An engine with a user's choices. Nothing is opened yet.
pub trait Selection: Capabilities {
    /// Opens the device, and settles what has to be the same for all pictures of a film: `pictures` is
    /// their width and height, where one film alone is converted.
    ///
    /// # Errors
    /// Which choice stands in the way.
    fn prepare(&self, pictures: Option<(u32, u32)>) -> Result<Box<dyn Prepared>, Refused>;

    /// What the choices, beside the device and the weights, make of results: equal words promise equal
    /// results. Each word follows a space. Defaults to nothing.
    fn words(&self) -> String {
        String::new()
    }
}

/// Tells how many bytes of a device's memory are taken; `None` once the driver does not answer.
pub type DeviceMemory = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// Bytes of a device's memory that an engine's weights take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WeightBytes {
    /// While parts of the work take turns, where the engine can work so.
    pub least: u64,
    /// All at once.
    pub whole: u64,
}

/// An engine whose device is open.
pub trait Prepared: Debug + Send + Sync {
    /// Reads the weights. May be asked again after an error.
    ///
    /// # Errors
    /// Which choice stands in the way.
    fn open(&self) -> Result<Arc<dyn Engine>, Refused>;

    /// What besides the engine's name decides its results, in words that a person reads; `None` for
    /// engines without weights or choices.
    ///
    /// # Errors
    /// When the weights cannot be told from others.
    fn identity(&self) -> Result<Option<String>, Refused>;

    /// What the weights will take, from their headers. Defaults to nothing.
    ///
    /// # Errors
    /// When they are not there or cannot be read.
    fn weight_bytes(&self) -> Result<WeightBytes, Refused> {
        Ok(WeightBytes::default())
    }

    /// Bytes of the device's memory that may be taken in all, by the user's limit too; `None` where
    /// nobody knows. Defaults to that.
    fn room(&self) -> Option<u64> {
        None
    }

    /// The memory of a device of its own. Defaults to none.
    fn memory(&self) -> Option<DeviceMemory> {
        None
    }
}

/// The selection of an engine that needs no opening.
#[derive(Debug, Clone)]
pub struct Ready(pub Arc<dyn Engine>);

impl Capabilities for Ready {
    fn reach(&self, run: &Run) -> Reach {
        self.0.reach(run)
    }

    fn check(&self, run: &Run) -> Result<(), Error> {
        self.0.check(run)
    }
}

impl Selection for Ready {
    fn prepare(&self, _pictures: Option<(u32, u32)>) -> Result<Box<dyn Prepared>, Refused> {
        Ok(Box::new(self.clone()))
    }
}

impl Prepared for Ready {
    fn open(&self) -> Result<Arc<dyn Engine>, Refused> {
        Ok(Arc::clone(&self.0))
    }

    fn identity(&self) -> Result<Option<String>, Refused> {
        Ok(None)
    }
}
