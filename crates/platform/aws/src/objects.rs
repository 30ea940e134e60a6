//! `S3Objects`: objects in S3, streamed to and from disk.
//!
//! A 404 is "there is none"; a 403 is a fault of permissions and never evidence of absence, which
//! is how S3 answers for a missing object when `s3:ListBucket` is not granted.

mod address;
mod download;
mod list;
mod note;
mod parts;
mod upload;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use parallax_job::{Timestamp, Uri};
use parallax_ports::{Error, Kind, ObjectMeta, ObjectStore, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::config::quick;
use crate::error::{code, translate};
use address::address;
use download::{download_file, read_small};
use note::{NOTE, metadata};
use parts::{Plan, SMALLEST_PART};
use upload::upload_file;

/// What stays as it is in the name of a copy's source.
const KEPT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Every bucket that the credentials reach.
#[derive(Debug, Clone)]
pub struct S3Objects {
    client: Client,
    plan: Plan,
}

impl S3Objects {
    /// Objects through `client`.
    pub fn new(client: Client) -> Self {
        Self { client, plan: Plan::default() }
    }

    /// With another size, in bytes, from which files go up in parts of that size. At least 5 MiB.
    #[must_use]
    pub fn with_part_size(mut self, bytes: u64) -> Self {
        self.plan.part = bytes.max(SMALLEST_PART);
        self
    }

    /// An address under which anybody may read the object for `valid`, at most 7 days.
    ///
    /// # Errors
    /// `Rejected` when it is not an object in S3 or the time is out of range.
    pub async fn presign(&self, uri: &Uri, valid: Duration) -> Result<String> {
        let (bucket, key) = address(uri)?;
        let config = PresigningConfig::expires_in(valid).map_err(|error| {
            Error::new(Kind::Rejected, format!("presign {uri} for {valid:?}")).with_source(error)
        })?;
        let call = self.client.get_object().bucket(bucket).key(key);
        let signed = call.presigned(config).await;
        signed
            .map(|request| request.uri().to_owned())
            .map_err(|error| translate(format!("presign {uri}"), error))
    }

    /// Asks whether a bucket exists and may be seen.
    ///
    /// # Errors
    /// `NotFound`, `Unauthorized` or `Unavailable`, naming the bucket.
    pub async fn check_bucket(&self, bucket: &str) -> Result<()> {
        let call = self.client.head_bucket().bucket(bucket);
        let asked = call.customize().config_override(quick()).send().await;
        asked.map(drop).map_err(|error| translate(format!("look at bucket {bucket}"), error))
    }
}

#[async_trait]
impl ObjectStore for S3Objects {
    async fn link(&self, uri: &Uri, valid: Duration) -> Result<Option<String>> {
        self.presign(uri, valid).await.map(Some)
    }

    async fn head(&self, uri: &Uri) -> Result<Option<ObjectMeta>> {
        let (bucket, key) = address(uri)?;
        let call = self.client.head_object().bucket(bucket).key(key);
        let answer = match call.customize().config_override(quick()).send().await {
            Ok(answer) => answer,
            Err(error) => {
                let error = translate(format!("look at {uri}"), error);
                return if error.kind() == Kind::NotFound { Ok(None) } else { Err(error) };
            }
        };
        let size = answer.content_length().unwrap_or_default();
        let millis = answer.last_modified().and_then(|at| at.to_millis().ok());
        Ok(Some(ObjectMeta {
            size: u64::try_from(size).unwrap_or_default(),
            modified: Timestamp(millis.unwrap_or_default()),
        }))
    }

    async fn read(&self, uri: &Uri, limit: u64) -> Result<Vec<u8>> {
        read_small(&self.client, uri, limit).await
    }

    async fn write(&self, uri: &Uri, bytes: &[u8]) -> Result<()> {
        let (bucket, key) = address(uri)?;
        let call = self.client.put_object().bucket(bucket).key(key);
        let sent = call.body(ByteStream::from(bytes.to_vec())).send().await;
        sent.map(drop).map_err(|error| translate(format!("write {uri}"), error))
    }

    async fn write_noted(&self, uri: &Uri, bytes: &[u8], note: &str) -> Result<()> {
        let (bucket, key) = address(uri)?;
        let call = self.client.put_object().bucket(bucket).key(key);
        let call = call.set_metadata(metadata(Some(note)));
        let sent = call.body(ByteStream::from(bytes.to_vec())).send().await;
        sent.map(drop).map_err(|error| translate(format!("write {uri}"), error))
    }

    async fn download(&self, uri: &Uri, to: &Path) -> Result<()> {
        download_file(&self.client, uri, to).await
    }

    async fn upload(&self, from: &Path, uri: &Uri) -> Result<()> {
        upload_file(&self.client, self.plan, from, uri, None).await
    }

    async fn upload_noted(&self, from: &Path, uri: &Uri, note: &str) -> Result<()> {
        upload_file(&self.client, self.plan, from, uri, Some(note)).await
    }

    async fn note(&self, uri: &Uri) -> Result<Option<String>> {
        let (bucket, key) = address(uri)?;
        let call = self.client.head_object().bucket(bucket).key(key);
        match call.customize().config_override(quick()).send().await {
            Ok(answer) => Ok(answer.metadata().and_then(|all| all.get(NOTE)).cloned()),
            Err(error) => {
                let error = translate(format!("look at {uri}"), error);
                if error.kind() == Kind::NotFound { Ok(None) } else { Err(error) }
            }
        }
    }

    async fn copy(&self, from: &Uri, to: &Uri) -> Result<bool> {
        let ((bucket, key), (to_bucket, to_key)) = (address(from)?, address(to)?);
        let source = format!("{bucket}/{}", utf8_percent_encode(key, KEPT));
        let call = self.client.copy_object().copy_source(source).bucket(to_bucket).key(to_key);
        match call.send().await {
            Ok(_) => Ok(true),
            // What S3 says of more than 5 GiB.
            Err(error) if code(&error) == Some("InvalidRequest") => Ok(false),
            Err(error) => Err(translate(format!("copy {from} to {to}"), error)),
        }
    }

    async fn delete(&self, uri: &Uri) -> Result<()> {
        let (bucket, key) = address(uri)?;
        let call = self.client.delete_object().bucket(bucket).key(key);
        let gone = call.customize().config_override(quick()).send().await;
        gone.map(drop).map_err(|error| translate(format!("delete {uri}"), error))
    }
}
