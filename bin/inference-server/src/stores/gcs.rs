//! `gs://` through the S3-compatible interface of Google Cloud Storage.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use parallax_aws::{Compatible, S3Objects};
use parallax_job::{Scheme, Uri};
use parallax_ports::{Error, Kind, Listing, ObjectMeta, ObjectStore, Result};

use crate::config::Settings;

/// The store, when there are credentials for it.
///
/// # Errors
/// Names the variable.
pub(super) fn open(settings: &Settings) -> anyhow::Result<Option<Arc<dyn ObjectStore>>> {
    Ok(listed(settings)?.map(|store| store as Arc<dyn ObjectStore>))
}

/// The same, for whoever lists it, too.
///
/// # Errors
/// Names the variable.
pub(super) fn listed(settings: &Settings) -> anyhow::Result<Option<Arc<Gcs>>> {
    let Some((access_key_id, secret_access_key)) = settings.secrets.read()?.gcs.clone() else {
        return Ok(None);
    };
    let store = Compatible {
        endpoint_url: settings.gcs_endpoint_url.clone(),
        region: "auto".to_owned(),
        access_key_id,
        secret_access_key,
        session_token: None,
    };
    Ok(Some(Arc::new(Gcs(S3Objects::compatible(&store, None)))))
}

/// The same objects under the other scheme.
#[derive(Debug)]
pub(super) struct Gcs(S3Objects);

fn renamed(uri: &Uri) -> Result<Uri> {
    match uri {
        Uri::Object { scheme: Scheme::Gs, bucket, key } => {
            Ok(Uri::Object { scheme: Scheme::S3, bucket: bucket.clone(), key: key.clone() })
        }
        _ => Err(Error::new(Kind::Rejected, format!("{uri}: not an object in Google's store"))),
    }
}

#[async_trait]
impl Listing for Gcs {
    async fn list(&self, folder: &Uri, after: Option<&Uri>, limit: usize) -> Result<Vec<Uri>> {
        let after = after.map(renamed).transpose()?;
        let found = self.0.list(&renamed(folder)?, after.as_ref(), limit).await?;
        let own = |uri: Uri| match uri {
            Uri::Object { bucket, key, .. } => Uri::Object { scheme: Scheme::Gs, bucket, key },
            file @ Uri::File(_) => file,
        };
        Ok(found.into_iter().map(own).collect())
    }
}

#[async_trait]
impl ObjectStore for Gcs {
    async fn head(&self, uri: &Uri) -> Result<Option<ObjectMeta>> {
        self.0.head(&renamed(uri)?).await
    }

    async fn read(&self, uri: &Uri, limit: u64) -> Result<Vec<u8>> {
        self.0.read(&renamed(uri)?, limit).await
    }

    async fn write(&self, uri: &Uri, bytes: &[u8]) -> Result<()> {
        self.0.write(&renamed(uri)?, bytes).await
    }

    async fn write_noted(&self, uri: &Uri, bytes: &[u8], note: &str) -> Result<()> {
        self.0.write_noted(&renamed(uri)?, bytes, note).await
    }

    async fn download(&self, uri: &Uri, to: &Path) -> Result<()> {
        self.0.download(&renamed(uri)?, to).await
    }

    async fn upload(&self, from: &Path, uri: &Uri) -> Result<()> {
        self.0.upload(from, &renamed(uri)?).await
    }

    async fn upload_noted(&self, from: &Path, uri: &Uri, note: &str) -> Result<()> {
        self.0.upload_noted(from, &renamed(uri)?, note).await
    }

    async fn note(&self, uri: &Uri) -> Result<Option<String>> {
        self.0.note(&renamed(uri)?).await
    }

    async fn link(&self, uri: &Uri, valid: std::time::Duration) -> Result<Option<String>> {
        self.0.link(&renamed(uri)?, valid).await
    }

    async fn copy(&self, from: &Uri, to: &Uri) -> Result<bool> {
        self.0.copy(&renamed(from)?, &renamed(to)?).await
    }

    async fn delete(&self, uri: &Uri) -> Result<()> {
        self.0.delete(&renamed(uri)?).await
    }
}
