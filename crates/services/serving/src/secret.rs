//! Text that is shown to nobody by accident.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A secret from a request or the configuration. Neither Debug nor Serialize shows it.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `text` is the secret, in a time that depends on neither: digests of equal length
    /// are compared without an early end.
    pub fn is(&self, text: &[u8]) -> bool {
        let (own, other) = (Sha256::digest(self.0.as_bytes()), Sha256::digest(text));
        bool::from(own.as_slice().ct_eq(other.as_slice()))
    }

    /// A short name by which equal secrets are told from others, from which the secret cannot be
    /// found.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::new_with_prefix(b"parallax").chain_update(&self.0).finalize();
        digest[..12].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("[redacted]")
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
        assert_eq!(secret.fingerprint(), Secret::new("canary").fingerprint());
        assert_ne!(secret.fingerprint(), Secret::new("other").fingerprint());
    }
}
