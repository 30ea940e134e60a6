//! Embedded adapters: SQLite queue and ledger, filesystem objects.
//!
//! Everything that one machine needs instead of a cloud lives in a [`StateDir`]: one database
//! with every queue and the ledger, and a folder of buckets. Queues and ledger share the database
//! on purpose: a power cut may lose its latest commits, but never an earlier one without the later
//! ones, so a message is never gone while the row that took it over is.
//!
//! Several processes may share the database. A network filesystem cannot hold it.

mod database;
mod deployment;
mod error;
mod ledger;
mod objects;
mod queue;
mod schema;
mod state_dir;

pub use database::Database;
pub use deployment::Deployment;
pub use error::is_disk_full;
pub use ledger::{Recovered, SqliteLedger};
pub use objects::{LocalObjects, Transfer};
pub use queue::SqliteQueue;
pub use state_dir::StateDir;
