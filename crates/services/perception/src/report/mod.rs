//! A page that shows what is known of a film: one file that asks nobody for anything.
//!
//! The policy in its head lets nothing in but pictures that are written into it and the one style sheet that it
//! names by its digest; there is no script. Places and colours are attributes of drawings, so that no style is
//! needed for them.

mod drawing;
mod page;
mod shown;

pub use shown::{Report, THUMBNAIL};
