//! Where a request's pictures and films are: within it, or at an address.

use parallax_media::Tools;
use parallax_serving::{Address, Call, Failure, FailureKind, Storage};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Where a request works, and with what.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// What requests may read.
    pub storage: Storage,
    /// The programs.
    pub tools: Tools,
    /// An existing folder for temporary files.
    pub scratch: PathBuf,
}

/// A picture, within the request or at an address.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct PictureSource {
    /// The picture in base64, as it is or as a `data:` URL: JPEG, PNG or WebP.
    #[serde(default)]
    pub(crate) image_base64: Option<String>,
    /// Its address: `https://` where allowed, `s3://`, `gs://`, `file://`.
    #[serde(default)]
    pub(crate) image_url: Option<String>,
}

/// A checked place, and what tells it from others.
#[derive(Debug)]
pub(crate) struct Source {
    address: Address,
    field: &'static str,
    pub(crate) identity: Value,
}

/// A file in a folder that goes with it.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Source {
    /// What people know it by: the last part of its address, or `film` where it came with the request.
    pub(crate) fn name(&self) -> String {
        let address = match &self.address {
            Address::Inline(_) => return "film".to_owned(),
            Address::Object(uri) => uri.to_string(),
            Address::Web(url) => url.path().to_owned(),
        };
        let last = address.rsplit('/').next().filter(|last| !last.is_empty());
        last.unwrap_or("film").to_owned()
    }
}

impl Surroundings {
    /// The first of these that is given: what came in base64, an address, or a file of this machine, which is one of
    /// the folders that are allowed or refused.
    ///
    /// # Errors
    /// `Invalid` with `lacking` when none is, and as the storage says.
    pub(crate) fn source(
        &self,
        (base64, base64_field): (Option<String>, &'static str),
        (url, url_field): (Option<String>, &'static str),
        (path, path_field): (Option<String>, &'static str),
        lacking: &str,
    ) -> Result<Source, Failure> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (text, field) = if let Some(text) = given(base64) {
            let is_url = text.get(..5).is_some_and(|head| head.eq_ignore_ascii_case("data:"));
            (if is_url { text } else { format!("data:;base64,{}", text.trim()) }, base64_field)
        } else if let Some(text) = given(url) {
            (text, url_field)
        } else if let Some(path) = given(path) {
            (format!("file://{path}"), path_field)
        } else {
            return Err(Failure::new(FailureKind::Invalid, lacking));
        };
        let address = self.storage.input(&text, field, None)?;
        let identity = json!(address.identity(&text));
        Ok(Source { address, field, identity })
    }

    /// As [`Surroundings::source`], of a picture.
    pub(crate) fn picture(&self, of: PictureSource, lacking: &str) -> Result<Source, Failure> {
        let none = (None, "image_path");
        let url = (of.image_url, "image_url");
        self.source((of.image_base64, "image_base64"), url, none, lacking)
    }

    /// Brings what a source names into a file.
    ///
    /// # Errors
    /// As the storage says.
    pub(crate) async fn fetch(&self, source: &Source, call: &Call) -> Result<Fetched, Failure> {
        let folder = tempfile::Builder::new().prefix("perception-").tempdir_in(&self.scratch);
        let folder = folder.map_err(|error| {
            let message = "there is no room for temporary files";
            Failure::new(FailureKind::Unavailable, message).with_detail(error.to_string())
        })?;
        let path = folder.path().join("input");
        let fetch = self.storage.fetch(&source.address, &path, source.field, None, &call.cancel);
        call.stage("reading", fetch).await?;
        Ok(Fetched { path, _folder: folder })
    }
}
