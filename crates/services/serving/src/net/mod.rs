//! Addresses that a request names: which may be asked, and asking them.

mod addresses;
mod fetch;
mod origin;
mod resolve;

pub use addresses::Networks;
pub use fetch::Fetcher;
pub use origin::{Origin, OriginError};
pub use resolve::Outside;
