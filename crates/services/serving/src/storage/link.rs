//! Addresses of objects for others to read.

use std::time::Duration;

use parallax_job::Uri;

use super::{Credentials, Storage};
use crate::Failure;

impl Storage {
    /// An address under which anybody may read an object for `valid`.
    ///
    /// # Errors
    /// `Invalid` where the store has no such addresses, and as the store says, naming `field`.
    pub async fn link(
        &self,
        uri: &Uri,
        field: &str,
        own: Option<&Credentials>,
        valid: Duration,
    ) -> Result<String, Failure> {
        let store = self.store(uri, field, own).await?;
        let link = store.link(uri, valid).await;
        let link = link.map_err(|error| Failure::of_store(&error, field))?;
        link.ok_or_else(|| Failure::field(field, "the store has no addresses for others"))
    }
}
