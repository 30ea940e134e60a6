//! Text that is shown to nobody by accident: `secrecy`'s string, which is wiped when dropped, with what
//! settings and requests need besides.

mod given;

pub use given::{Check, Given, GivenError, one_line};

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

const SHOWN: &str = "[redacted]";

/// A token, key or password. Neither Debug nor Serialize shows it.
///
/// ```
/// let secret = parallax_secret::Secret::new("hf_abc");
/// assert_eq!(format!("{secret:?}"), "[redacted]");
/// assert_eq!(secret.expose(), "hf_abc");
/// ```
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether `text` is the secret, in a time that depends on neither: digests of equal length
    /// are compared without an early end.
    pub fn is(&self, text: &[u8]) -> bool {
        let (own, other) = (Sha256::digest(self.expose().as_bytes()), Sha256::digest(text));
        bool::from(own.as_slice().ct_eq(other.as_slice()))
    }

    /// `text` without the secret in it: what somebody says who was told it.
    pub fn redact(&self, text: &str) -> String {
        match self.expose() {
            "" => text.to_owned(),
            own => text.replace(own, SHOWN),
        }
    }

    /// A short name by which equal secrets are told from others, from which the secret cannot be
    /// found.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::new_with_prefix(b"parallax").chain_update(self.expose()).finalize();
        digest[..12].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.is(other.expose().as_bytes())
    }
}

impl Eq for Secret {}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHOWN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(SHOWN)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_compared_and_not_shown() {
        let secret = Secret::new("canary");
        assert!(secret.is(b"canary"));
        for other in [&b"canarx"[..], b"canary ", b"", b"c"] {
            assert!(!secret.is(other));
        }
        let shown = format!("{secret:?} {}", serde_json::to_string(&secret).unwrap());
        assert!(!shown.contains("canary") && !secret.fingerprint().contains("canary"), "{shown}");
        assert_eq!(secret.redact("a canary, canary"), "a [redacted], [redacted]");
        assert_eq!(Secret::new("").redact("text"), "text");
        assert_eq!(secret.fingerprint(), Secret::new("canary").fingerprint());
        assert_ne!(secret.fingerprint(), Secret::new("other").fingerprint());
        let read: Secret = serde_json::from_str("\"canary\"").unwrap();
        assert_eq!(read, secret);
        assert_ne!(read, Secret::new("other"));
    }
}
