//! Download model folders from a Hugging Face hub, so that an interruption costs nothing and a wrong
//! byte is never kept.
//!
//! A file arrives under a temporary name that carries its digest, is compared with the digest that the
//! hub announced, and with what a manifest or the lock file of an earlier fetch say of it, and only then
//! takes its name. Each folder has a record of what was verified at which
//! commit; a complete folder is recognised from it without a word to the hub. The access token goes to
//! the hub itself and to no host that the hub redirects to.
//!
//! Which models there are, and which network is in which file, is not known here.

mod error;
mod event;
mod hub;
mod lock;
mod lockfile;
mod model;
mod partial;
mod pins;
mod record;
mod redirect;
mod retry;
mod room;
mod settings;
mod transfer;

pub use error::{Error, Kind};
pub use event::Event;
pub use lockfile::unlike_the_lock;
pub use model::Model;
pub use settings::{Settings, Token};
pub use transfer::fetch;
