//! A part of the catalogue on its way from a name to something that works.

use std::fmt;
use std::fmt::Debug;
use std::sync::Arc;

use parallax_stereo::{Capabilities, Engine, Error, Reach, Run};

use crate::{Published, Refused};

/// An engine, or half of one, with a user's choices. Nothing is opened yet.
pub trait Selection<P: ?Sized = dyn Engine>: Capabilities {
    /// Opens the device, and settles what has to be the same for all pictures of a film: `pictures` is
    /// their width and height, where one film alone is converted.
    ///
    /// # Errors
    /// Which choice stands in the way.
    fn prepare(&self, pictures: Option<(u32, u32)>) -> Result<Box<dyn Prepared<P>>, Refused>;

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

/// The same with its device open.
pub trait Prepared<P: ?Sized = dyn Engine>: Debug + Send + Sync {
    /// Reads the weights. May be asked again after an error.
    ///
    /// # Errors
    /// Which choice stands in the way.
    fn open(&self) -> Result<Arc<P>, Refused>;

    /// What besides the name decides results, in words that a person reads; `None` without weights or
    /// choices.
    ///
    /// # Errors
    /// When the weights cannot be told from others.
    fn identity(&self) -> Result<Option<String>, Refused>;

    /// The models that [`Prepared::open`] reads: programs tell what their licences forbid. Without a default, so
    /// that no engine forgets them.
    fn models(&self) -> Vec<&'static Published>;

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

/// The selection of what needs no opening.
pub struct Ready<P: ?Sized = dyn Engine>(pub Arc<P>);

impl<P: ?Sized> Clone for Ready<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: ?Sized + Debug> Debug for Ready<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<P: ?Sized + Capabilities> Capabilities for Ready<P> {
    fn reach(&self, run: &Run) -> Reach {
        self.0.reach(run)
    }

    fn check(&self, run: &Run) -> Result<(), Error> {
        self.0.check(run)
    }
}

impl<P: ?Sized + Capabilities + 'static> Selection<P> for Ready<P> {
    fn prepare(&self, _pictures: Option<(u32, u32)>) -> Result<Box<dyn Prepared<P>>, Refused> {
        Ok(Box::new(self.clone()))
    }
}

impl<P: ?Sized + Capabilities> Prepared<P> for Ready<P> {
    fn open(&self) -> Result<Arc<P>, Refused> {
        Ok(Arc::clone(&self.0))
    }

    fn identity(&self) -> Result<Option<String>, Refused> {
        Ok(None)
    }

    fn models(&self) -> Vec<&'static Published> {
        Vec::new()
    }
}
