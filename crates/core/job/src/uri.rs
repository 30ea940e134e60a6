//! Where an object is: `s3://bucket/key`, `gs://bucket/key` or `file:///path`.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

/// A cloud object scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Amazon S3 and everything that speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gs,
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Scheme::S3 => "s3",
            Scheme::Gs => "gs",
        }
    }
}

/// The address of one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Uri {
    /// An object in a bucket.
    Object {
        /// Which store.
        scheme: Scheme,
        /// Bucket name, `[a-z0-9._-]{3,63}`.
        bucket: String,
        /// Object key, 1 to 1024 bytes, as is (not percent-encoded).
        key: String,
    },
    /// A file by absolute path without `.` or `..`.
    File(PathBuf),
}

/// Text that is not an object's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("URI {found:?}: {why}")]
pub struct UriError {
    found: String,
    why: &'static str,
}

const IN_PATH: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#').add(b'"');

impl Uri {
    /// The address of a file.
    ///
    /// # Errors
    /// When the path is not absolute, has `.` or `..` parts, or is not UTF-8.
    pub fn file(path: impl Into<PathBuf>) -> Result<Self, UriError> {
        let path = path.into();
        check_path(&path)
            .map_err(|why| UriError { found: path.display().to_string(), why })
            .map(|()| Self::File(path.clone()))
    }
}

fn check_path(path: &Path) -> Result<(), &'static str> {
    let text = path.to_str().ok_or("the path is not UTF-8")?;
    if text.contains('\0') {
        return Err("the path holds a NUL");
    }
    let mut parts = path.components();
    if parts.next() != Some(Component::RootDir) {
        return Err("a file URI holds an absolute path");
    }
    let mut count = 0;
    let tidy = parts.all(|p| {
        count += 1;
        matches!(p, Component::Normal(_))
    });
    if tidy && count > 0 && !text.split('/').any(|part| part == ".") {
        Ok(())
    } else {
        Err("the path must not be empty or hold '.' or '..'")
    }
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        parse(text).map_err(|why| UriError { found: text.chars().take(256).collect(), why })
    }
}

fn parse(text: &str) -> Result<Uri, &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("expected s3://, gs:// or file:///")?;
    let scheme = match scheme {
        "s3" => Scheme::S3,
        "gs" => Scheme::Gs,
        "file" => {
            let path = percent_decode_str(rest).decode_utf8().map_err(|_| "not UTF-8")?;
            let path = PathBuf::from(path.as_ref());
            check_path(&path)?;
            return Ok(Uri::File(path));
        }
        _ => return Err("allowed schemes are s3, gs and file"),
    };
    let (bucket, key) = rest.split_once('/').ok_or("expected a bucket and a key")?;
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(allowed) {
        return Err("a bucket is 3 to 63 of a-z, 0-9, '.', '_' and '-'");
    }
    if key.is_empty() || key.len() > 1024 {
        return Err("a key has 1 to 1024 bytes");
    }
    if key.chars().any(char::is_control) {
        return Err("a key holds no control characters");
    }
    Ok(Uri::Object { scheme, bucket: bucket.to_owned(), key: key.to_owned() })
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object { scheme, bucket, key } => {
                write!(f, "{}://{bucket}/{key}", scheme.as_str())
            }
            Self::File(path) => {
                let path = path.to_string_lossy();
                write!(f, "file://{}", utf8_percent_encode(&path, IN_PATH))
            }
        }
    }
}

impl TryFrom<String> for Uri {
    type Error = UriError;

    fn try_from(text: String) -> Result<Self, UriError> {
        text.parse()
    }
}

impl From<Uri> for String {
    fn from(uri: Uri) -> String {
        uri.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn object_addresses_round_trip(bucket in "[a-z0-9][a-z0-9._-]{2,62}", key in "[^\\p{Cc}]{1,200}") {
            let uri = Uri::Object { scheme: Scheme::S3, bucket, key };
            prop_assert_eq!(uri.to_string().parse::<Uri>().unwrap(), uri);
        }

        #[test]
        fn file_addresses_round_trip(parts in prop::collection::vec("[^/\0]{1,20}", 1..5)) {
            let path = format!("/{}", parts.join("/"));
            if let Ok(uri) = Uri::file(&path) {
                prop_assert_eq!(uri.to_string().parse::<Uri>().unwrap(), uri);
            } else {
                prop_assert!(parts.iter().any(|p| p == "." || p == ".."));
            }
        }

        #[test]
        fn any_text_is_answered(text in any::<String>()) {
            let _ = text.parse::<Uri>();
        }
    }

    #[test]
    fn hostile_addresses_are_refused() {
        for bad in [
            "http://169.254.169.254/latest",
            "s3://b/key",
            "s3://BUCKET/key",
            "s3://bucket",
            "s3://bucket/",
            "s3://user@bucket/key",
            "file://host/etc/passwd",
            "file:///a/../etc/passwd",
            "file:///a/%2e%2e/etc/passwd",
            "file:///",
            "file:////",
            "file:relative",
        ] {
            assert!(bad.parse::<Uri>().is_err(), "{bad}");
        }
    }
}
