//! What pages for a browser are made of, whatever they show: who may ask and from where, what every answer
//! forbids, and the frame around a page.
//!
//! Ports do not tell sites apart, so another server on this machine is kept out by `Origin` and
//! `Sec-Fetch-Site`, and a name that was made to point here by `Host`.

mod assets;
mod headers;
mod page;
mod refusal;
mod sessions;
mod site;

pub use assets::{Asset, SCRIPT, STYLE, asset};
pub use headers::guard;
pub use page::page;
pub use refusal::Refusal;
pub use sessions::Sessions;
pub use site::{Site, cookie_name};
