//! The stores that requests may name.

mod gcs;
mod own;
mod shelf;

use std::sync::Arc;

pub(crate) use shelf::shelf;

use anyhow::{Context, Result};
use parallax_aws::{Aws, S3Objects};
use parallax_local::LocalObjects;
use parallax_ports::{ObjectStore, SystemClock};
use parallax_serving::net::{Fetcher, Networks, Outside};
use parallax_serving::{Storage, Stores};

use crate::config::Settings;

/// Opens every store. Contacts nobody: credentials are looked for with the first request.
///
/// # Errors
/// Names the variable.
pub(crate) async fn open(settings: &Settings, aws: &Aws) -> Result<Storage> {
    let mut stores = Stores::default();
    for root in &settings.file_roots {
        let named = || format!("SERVER_FILE_ROOTS: {}", root.display());
        let real = root.canonicalize().with_context(named)?;
        let given = std::path::absolute(root).with_context(named)?;
        let objects = LocalObjects::open(&given, Arc::new(SystemClock), Vec::new());
        let objects: Arc<dyn ObjectStore> = Arc::new(objects.with_context(named)?);
        // Requests may spell it as the configuration does, or without links.
        stores.files.push((given, objects.clone()));
        stores.files.push((real, objects));
    }
    if aws.region().is_some() {
        stores.s3 = Some(Arc::new(S3Objects::new(aws.s3())));
    }
    stores.gs = gcs::open(settings)?;
    let outside = Outside::new(settings.origins.clone(), Networks::new(settings.networks.clone()));
    if !outside.is_closed() {
        let fetcher = Fetcher::new(outside.clone());
        stores.web = Some(fetcher.map_err(|error| {
            let detail = error.detail.unwrap_or_default();
            anyhow::anyhow!("SERVER_ORIGINS: {detail}")
        })?);
        stores.connect = Some(Arc::new(own::Own::new(outside)));
    }
    let storage = Storage::new(stores, settings.access(), settings.input_bytes);
    Ok(storage.with_inline(settings.inline_bytes.into()))
}
