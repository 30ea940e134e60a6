//! Where analyses of films are kept.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use parallax_aws::{Aws, S3Objects};
use parallax_job::{Scheme, Uri};
use parallax_local::LocalObjects;
use parallax_perception::Shelf;
use parallax_ports::SystemClock;

use super::gcs;
use crate::config::Settings;

const VARIABLE: &str = "SERVER_PERCEPTION_STORE";

/// The shelf that the settings name. Contacts nobody; a folder is made.
///
/// # Errors
/// Names the variable.
pub(crate) fn shelf(settings: &Settings, aws: &Aws) -> Result<Option<Shelf>> {
    let Some(root) = settings.models.perception_store.as_deref() else { return Ok(None) };
    let public = settings.models.perception_url.as_deref();
    if let Some(url) = public {
        let http = ["https://", "http://"].iter().any(|scheme| url.starts_with(scheme));
        anyhow::ensure!(http, "SERVER_PERCEPTION_URL {url:?}: allowed are https:// and http://");
    }
    let within: Uri = format!("{}/x", root.trim_end_matches('/'))
        .parse()
        .with_context(|| format!("{VARIABLE} {root:?}"))?;
    let shelf = match &within {
        Uri::File(path) => {
            let folder = path.parent().context(VARIABLE)?;
            let store = LocalObjects::open(folder, Arc::new(SystemClock), Vec::new());
            let store = Arc::new(store.with_context(|| format!("{VARIABLE} {root:?}"))?);
            Shelf::new(store.clone(), store, root, public)
        }
        Uri::Object { scheme: Scheme::S3, .. } => {
            if aws.region().is_none() {
                bail!("{VARIABLE} {root:?}: no region is set; AWS_REGION names one");
            }
            let store = Arc::new(S3Objects::new(aws.s3()));
            Shelf::new(store.clone(), store, root, public)
        }
        Uri::Object { scheme: Scheme::Gs, .. } => {
            let store = gcs::listed(settings)?.with_context(|| {
                format!("{VARIABLE} {root:?}: GCS_ACCESS_KEY_ID and its secret are not set")
            })?;
            Shelf::new(store.clone(), store, root, public)
        }
    };
    shelf.map(Some).map_err(|why| anyhow!("{VARIABLE} {root:?}: {why}"))
}
