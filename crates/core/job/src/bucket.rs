//! The two places that objects live in, and the addresses of objects inside them.

use std::path::PathBuf;

use crate::{ObjectKey, Scheme, Uri, UriError};

/// One bucket: a cloud bucket, or a folder that plays one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bucket {
    /// A cloud bucket.
    Cloud {
        /// Which store.
        scheme: Scheme,
        /// Its name.
        name: String,
    },
    /// A folder; keys are paths below `root/name`.
    Folder {
        /// The object store's root, absolute.
        root: PathBuf,
        /// The bucket's name, one path part.
        name: String,
    },
}

impl Bucket {
    /// The bucket's name, as events give it.
    pub fn name(&self) -> &str {
        match self {
            Bucket::Cloud { name, .. } | Bucket::Folder { name, .. } => name,
        }
    }

    /// The address of `key` in this bucket.
    ///
    /// # Errors
    /// When a folder bucket's root is not an absolute, plain path.
    pub fn uri(&self, key: &ObjectKey) -> Result<Uri, UriError> {
        match self {
            Bucket::Cloud { scheme, name } => {
                format!("{}://{name}/{key}", if *scheme == Scheme::S3 { "s3" } else { "gs" })
                    .parse()
            }
            Bucket::Folder { root, name } => Uri::file(root.join(name).join(key.to_string())),
        }
    }
}

/// The input and the output bucket of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    /// Sources and segments.
    pub input: Bucket,
    /// Results, finals and backend bookkeeping.
    pub output: Bucket,
}
