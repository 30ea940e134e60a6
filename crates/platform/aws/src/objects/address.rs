//! Addresses of objects in S3, and errors of files beside them.

use std::path::Path;

use parallax_job::{Scheme, Uri};
use parallax_ports::{Error, Kind, Result};

/// Bucket and key of an object in S3.
pub(super) fn address(uri: &Uri) -> Result<(&str, &str)> {
    match uri {
        Uri::Object { scheme: Scheme::S3, bucket, key } => Ok((bucket, key)),
        _ => Err(Error::new(Kind::Rejected, format!("{uri}: not an object in S3"))),
    }
}

pub(super) fn io(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::new(Kind::Internal, format!("{what} {}", path.display())).with_source(error)
}
