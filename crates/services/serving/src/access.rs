//! What a request may name: stores, buckets and key prefixes.

use std::fmt;
use std::str::FromStr;

use parallax_job::{Scheme, Uri};

use crate::{Failure, FailureKind};

/// A part of a store: `s3://*` (every bucket), `s3://bucket`, or `s3://bucket/prefix`; `gs://`
/// alike. A prefix ends at a `/`: `s3://b/jobs` holds `s3://b/jobs/1` and not `s3://b/jobs2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    scheme: Scheme,
    bucket: Option<String>,
    key: String,
}

/// Text that is not a prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?}: expected s3://bucket, s3://bucket/prefix or s3://*, or the same with gs://")]
pub struct PrefixError(String);

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let error = || PrefixError(text.chars().take(256).collect());
        let (scheme, rest) = match text.split_once("://") {
            Some(("s3", rest)) => (Scheme::S3, rest),
            Some(("gs", rest)) => (Scheme::Gs, rest),
            _ => return Err(error()),
        };
        if rest == "*" {
            return Ok(Self { scheme, bucket: None, key: String::new() });
        }
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        // An address in it must be one.
        match format!("{text}{}x", if rest.contains('/') { "" } else { "/" }).parse() {
            Ok(Uri::Object { .. }) => {}
            _ => return Err(error()),
        }
        let key = key.trim_end_matches('/').to_owned();
        Ok(Self { scheme, bucket: Some(bucket.to_owned()), key })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::S3 => "s3",
            Scheme::Gs => "gs",
        };
        write!(f, "{scheme}://{}", self.bucket.as_deref().unwrap_or("*"))?;
        if self.key.is_empty() { Ok(()) } else { write!(f, "/{}", self.key) }
    }
}

impl Prefix {
    fn holds(&self, scheme: Scheme, bucket: &str, key: &str) -> bool {
        let below = |rest: &str| self.key.is_empty() || rest.starts_with('/');
        self.scheme == scheme
            && self.bucket.as_deref().is_none_or(|own| own == bucket)
            && key.strip_prefix(&self.key).is_some_and(below)
    }
}

/// What requests may read and write in shared stores.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Where inputs may be.
    pub read: Vec<Prefix>,
    /// Where outputs may go.
    pub write: Vec<Prefix>,
}

impl Access {
    /// # Errors
    /// `Forbidden`, naming the field, when an object lies in none of the prefixes.
    pub(crate) fn check(&self, uri: &Uri, field: &str, write: bool) -> Result<(), Failure> {
        let Uri::Object { scheme, bucket, key } = uri else { return Ok(()) };
        let allowed = if write { &self.write } else { &self.read };
        if allowed.iter().any(|prefix| prefix.holds(*scheme, bucket, key)) {
            return Ok(());
        }
        let list: Vec<String> = allowed.iter().map(Prefix::to_string).collect();
        let list = if list.is_empty() { "none".to_owned() } else { list.join(", ") };
        let message = format!("{uri} is not in an allowed place; allowed are: {list}");
        Err(Failure::new(FailureKind::Forbidden, message).of(field))
    }
}

/// Refuses keys that another reader may take for something else: relative parts, empty parts,
/// escapes, wildcards.
///
/// # Errors
/// `Invalid`, naming the field.
pub(crate) fn plain_key(uri: &Uri, field: &str) -> Result<(), Failure> {
    let Uri::Object { key, .. } = uri else { return Ok(()) };
    let odd = key.split('/').any(|part| part.is_empty() || part == "." || part == "..");
    if odd || key.contains(['%', '*', '?', '#', '\\']) {
        let message = "a key has no empty, '.' or '..' parts and none of % * ? # \\";
        return Err(Failure::field(field, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_at_a_slash() {
        let access = |text: &str, uri: &str| {
            let access = Access { read: vec![text.parse().unwrap()], write: Vec::new() };
            let uri = uri.parse().unwrap();
            assert!(access.check(&uri, "x", true).is_err(), "reading is not writing");
            access.check(&uri, "x", false).is_ok()
        };
        assert!(access("s3://bucket", "s3://bucket/a"));
        assert!(access("s3://bucket/", "s3://bucket/a/b"));
        assert!(access("s3://bucket/jobs", "s3://bucket/jobs/1"));
        assert!(access("s3://bucket/jobs/", "s3://bucket/jobs/1"));
        assert!(access("s3://*", "s3://anything/a"));
        assert!(!access("s3://bucket/jobs", "s3://bucket/jobs2/1"));
        assert!(!access("s3://bucket/jobs", "s3://bucket/other"));
        assert!(!access("s3://bucket", "s3://bucket2/a"));
        assert!(!access("s3://bucket", "gs://bucket/a"));
        assert!(!access("gs://*", "s3://bucket/a"));
        let none = Access::default();
        let failure =
            none.check(&"s3://bucket/a".parse().unwrap(), "input_uri", false).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Forbidden);
        assert!(failure.message.contains("input_uri") && failure.message.contains("none"));
    }

    #[test]
    fn texts_that_are_no_prefixes_are_refused() {
        for text in ["", "bucket", "s3://", "s3://*/x", "file:///x", "s3://B", "http://x", "s3:/b"]
        {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
        for text in ["s3://bucket", "s3://bucket/a/b", "s3://*", "gs://bucket"] {
            assert_eq!(text.parse::<Prefix>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn keys_that_mean_something_elsewhere_are_refused() {
        for key in ["a/../b", "../b", "a//b", "/a", "a/", "a/./b", "a%2e%2e/b", "a*", "a?b", "a\\b"]
        {
            let uri = format!("s3://bucket/{key}").parse().unwrap();
            assert!(plain_key(&uri, "x").is_err(), "{key}");
        }
        for key in ["a", "segments/job-1/00000_00002_sbs.mp4", "a b", "ü", "a..b"] {
            let uri = format!("s3://bucket/{key}").parse().unwrap();
            assert!(plain_key(&uri, "x").is_ok(), "{key}");
        }
    }
}
