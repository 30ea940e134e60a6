//! From S3 to memory or disk: bounded, checked for size, resumed where the stream broke.

use std::path::Path;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use parallax_job::Uri;
use parallax_ports::{Error, Kind, Result};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tracing::warn;

use super::address::{address, io};
use crate::config::quick;
use crate::error::translate;

/// Longest silence inside a stream.
const SILENCE: Duration = Duration::from_secs(30);
/// How often a broken stream is taken up again without having moved.
const RESUMES: u32 = 3;

/// The whole object, of at most `limit` bytes.
pub(super) async fn read_small(client: &Client, uri: &Uri, limit: u64) -> Result<Vec<u8>> {
    let mut answer = get(client, uri, 0, None).await?;
    let refuse = |size: u64| {
        Error::new(Kind::Rejected, format!("{uri}: {size} bytes, at most {limit} are read"))
    };
    let length = answer.content_length().and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    if length > limit {
        return Err(refuse(length));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    while let Some(chunk) = next(&mut answer, uri).await? {
        if (bytes.len() + chunk.len()) as u64 > limit {
            return Err(refuse((bytes.len() + chunk.len()) as u64));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The object as the file `to`.
pub(super) async fn download_file(client: &Client, uri: &Uri, to: &Path) -> Result<()> {
    let mut answer = get(client, uri, 0, None).await?;
    let etag = answer.e_tag().map(str::to_owned);
    let size = answer.content_length().and_then(|n| u64::try_from(n).ok());
    let mut file = tokio::fs::File::create(to).await.map_err(|error| io("create", to, error))?;
    let (mut have, mut broken) = (0u64, 0);
    loop {
        match next(&mut answer, uri).await {
            Ok(Some(chunk)) => {
                file.write_all(&chunk).await.map_err(|error| io("write", to, error))?;
                have += chunk.len() as u64;
                broken = 0;
            }
            Ok(None) if size.is_none_or(|size| have == size) => break,
            other => {
                broken += 1;
                let why = other.err().unwrap_or_else(|| {
                    let text = format!("download {uri}: ended after {have} bytes of {size:?}");
                    Error::new(Kind::Internal, text)
                });
                if broken > RESUMES || etag.is_none() {
                    return Err(why);
                }
                warn!(%uri, have, error = %why.chain(), "stream broke; taken up again");
                answer = get(client, uri, have, etag.as_deref()).await?;
            }
        }
    }
    file.flush().await.map_err(|error| io("write", to, error))
}

/// The object from `offset`, if it is still the one with `etag`.
async fn get(
    client: &Client,
    uri: &Uri,
    offset: u64,
    etag: Option<&str>,
) -> Result<GetObjectOutput> {
    let (bucket, key) = address(uri)?;
    let mut call = client.get_object().bucket(bucket).key(key);
    if offset > 0 {
        call = call.range(format!("bytes={offset}-"));
    }
    if let Some(etag) = etag {
        call = call.if_match(etag);
    }
    let answer = call.customize().config_override(quick()).send().await;
    answer.map_err(|error| translate(format!("read {uri}"), error))
}

async fn next(answer: &mut GetObjectOutput, uri: &Uri) -> Result<Option<bytes::Bytes>> {
    match timeout(SILENCE, answer.body.try_next()).await {
        Ok(Ok(chunk)) => Ok(chunk),
        Ok(Err(error)) => {
            Err(Error::new(Kind::Unavailable, format!("read {uri}")).with_source(error))
        }
        Err(_) => Err(Error::new(Kind::Unavailable, format!("read {uri}: silent too long"))),
    }
}
