//! From disk to S3: one request for a small file, bounded parallel parts for a large one.
//!
//! An object appears when its last step succeeds, never before. Parts that were sent for nothing
//! are removed on the way out; a lifecycle rule for unfinished uploads covers a killed process.

use std::path::Path;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::{ByteStream, Length};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use futures::stream::{StreamExt, TryStreamExt, iter};
use parallax_job::Uri;
use parallax_ports::{Error, Kind, Result};
use tracing::warn;

use super::address::{address, io};
use super::note::metadata;
use super::parts::Plan;
use crate::error::translate;

const AT_ONCE: usize = 4;

/// The file `from` as an object, with a note where there is one.
pub(super) async fn upload_file(
    client: &Client,
    plan: Plan,
    from: &Path,
    uri: &Uri,
    note: Option<&str>,
) -> Result<()> {
    let (bucket, key) = address(uri)?;
    let meta = tokio::fs::metadata(from).await.map_err(|error| io("read", from, error))?;
    if meta.len() > plan.part {
        return upload_in_parts(client, plan, from, meta.len(), uri, note).await;
    }
    let body = piece(from, 0, meta.len()).await?;
    let call = client.put_object().bucket(bucket).key(key).set_metadata(metadata(note));
    let sent = call.body(body).send().await;
    sent.map(drop).map_err(|error| translate(format!("upload {uri}"), error))
}

async fn upload_in_parts(
    client: &Client,
    plan: Plan,
    from: &Path,
    size: u64,
    uri: &Uri,
    note: Option<&str>,
) -> Result<()> {
    let (bucket, key) = address(uri)?;
    let call = client.create_multipart_upload().bucket(bucket).key(key);
    let begun = call.set_metadata(metadata(note)).send().await;
    let begun = begun.map_err(|error| translate(format!("begin upload of {uri}"), error))?;
    let Some(id) = begun.upload_id else {
        return Err(Error::new(Kind::Internal, format!("upload {uri}: no upload id")));
    };
    let mut unfinished = Unfinished {
        client: client.clone(),
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        id: Some(id.clone()),
    };
    let send = |(number, (offset, length)): (i32, (u64, u64))| {
        let id = id.clone();
        async move {
            let body = piece(from, offset, length).await?;
            let call = client.upload_part().bucket(bucket).key(key).upload_id(id);
            let sent = call.part_number(number).body(body).send().await;
            let part =
                sent.map_err(|error| translate(format!("upload part {number} of {uri}"), error))?;
            Ok(CompletedPart::builder()
                .part_number(number)
                .set_e_tag(part.e_tag)
                .set_checksum_crc32(part.checksum_crc32)
                .build())
        }
    };
    let parts: Result<Vec<CompletedPart>> =
        iter((1..).zip(plan.parts(size))).map(send).buffered(AT_ONCE).try_collect().await;
    let parts = match parts {
        Ok(parts) => parts,
        Err(error) => {
            unfinished.abort().await;
            return Err(error);
        }
    };
    let whole = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let call = client.complete_multipart_upload().bucket(bucket).key(key).upload_id(&id);
    match call.multipart_upload(whole).send().await {
        Ok(_) => {
            unfinished.id = None;
            Ok(())
        }
        Err(error) => {
            let error = translate(format!("finish upload of {uri}"), error);
            unfinished.abort().await;
            Err(error)
        }
    }
}

async fn piece(from: &Path, offset: u64, length: u64) -> Result<ByteStream> {
    let whole = ByteStream::read_from().path(from).offset(offset).length(Length::Exact(length));
    whole.build().await.map_err(|error| {
        let text = format!("read {} at {offset}", from.display());
        Error::new(Kind::Internal, text).with_source(error)
    })
}

/// An upload whose parts are to be removed unless it is finished.
struct Unfinished {
    client: Client,
    bucket: String,
    key: String,
    id: Option<String>,
}

impl Unfinished {
    async fn abort(&mut self) {
        let Some(id) = self.id.take() else { return };
        let call = self.client.abort_multipart_upload().bucket(&self.bucket).key(&self.key);
        if let Err(error) = call.upload_id(id).send().await {
            warn!(key = %self.key, %error, "could not remove the parts of a failed upload");
        }
    }
}

impl Drop for Unfinished {
    // The future that uploads was dropped: the one task here that nobody waits for.
    fn drop(&mut self) {
        let (Some(id), Ok(runtime)) = (self.id.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let call = self.client.abort_multipart_upload().bucket(&self.bucket).key(&self.key);
        runtime.spawn(call.upload_id(id).send());
    }
}
