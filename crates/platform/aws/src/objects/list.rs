//! What a folder of a bucket holds.

use async_trait::async_trait;
use parallax_job::Uri;
use parallax_ports::{Error, Kind, Listing, Result};

use super::S3Objects;
use super::address::address;
use crate::error::translate;

#[async_trait]
impl Listing for S3Objects {
    async fn list(&self, folder: &Uri, after: Option<&Uri>, limit: usize) -> Result<Vec<Uri>> {
        let (bucket, key) = address(folder)?;
        let mut after = after.map(address).transpose()?.map(|(_, key)| key.to_owned());
        let mut found = Vec::new();
        while found.len() < limit {
            let call = self.client.list_objects_v2().bucket(bucket).prefix(format!("{key}/"));
            let answer = call
                .set_start_after(after.clone())
                .max_keys(i32::try_from(limit - found.len()).unwrap_or(i32::MAX))
                .send()
                .await
                .map_err(|error| translate(format!("list {folder}"), error))?;
            let keys = answer.contents().iter().filter_map(|object| object.key());
            found.extend(keys.map(|key| named(bucket, key)).collect::<Result<Vec<_>>>()?);
            after = answer.contents().last().and_then(|object| object.key()).map(str::to_owned);
            if answer.is_truncated() != Some(true) || after.is_none() {
                break;
            }
        }
        Ok(found)
    }
}

fn named(bucket: &str, key: &str) -> Result<Uri> {
    let parsed: std::result::Result<Uri, _> = format!("s3://{bucket}/{key}").parse();
    parsed.map_err(|error| {
        let text = format!("an object in {bucket} has no address");
        Error::new(Kind::Rejected, text).with_source(error)
    })
}
