//! What an engine, or half of one, says of itself: its name, the options it takes, the weights it reads, and how it is
//! opened. An engine's crate has one [`EngineSpec`], and the catalogue lists them.
//!
//! Opening has three steps, so that a server can answer while weights are still on their way:
//! [`EngineSpec::select`] is cheap, [`Selection::prepare`] opens the device, [`Prepared::open`] reads the
//! weights. Options are refused by what they are ([`Choice`]); the programs name their flag or variable.

mod choices;
#[cfg(feature = "weights")]
pub mod examine;
mod licence;
mod refused;
mod report;
mod selection;
mod spec;
mod weights;

pub use choices::{Brought, Choice, Choices, DepthMode, Device, Dtype, MemoryPlan};
pub use licence::{Commercial, Licence};
pub use refused::Refused;
pub use report::{Demand, ModelReport, Network, PartReport, StageMemory};
pub use selection::{DeviceMemory, Prepared, Ready, Selection, WeightBytes};
pub use spec::{DepthSpec, EngineSpec, Halves, InpaintSpec, SharedSelection, Spec};
pub use weights::{Demands, Needs, Pin, Published, WeightsSpec, licence_warnings};
