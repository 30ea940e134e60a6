//! What opens a store that is not the server's.

use parallax_secret::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Failure;

/// Credentials that a request brings for an S3-compatible store of its own. They are sent in
/// headers: every text has visible ASCII characters only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Address of the store, https and one of the allowed origins.
    pub endpoint_url: String,
    /// Access key.
    #[schemars(regex(pattern = "^[!-~]{1,256}$"))]
    #[schemars(with = "String")]
    pub access_key_id: Secret,
    /// Secret key.
    #[schemars(regex(pattern = "^[!-~]{1,256}$"))]
    #[schemars(with = "String")]
    pub secret_access_key: Secret,
    /// Token of temporary credentials.
    #[serde(default)]
    #[schemars(regex(pattern = "^[!-~]{1,8192}$"))]
    #[schemars(with = "Option<String>")]
    pub session_token: Option<Secret>,
    /// Region; `auto` where the store has none.
    #[serde(default = "auto")]
    #[schemars(regex(pattern = "^[A-Za-z0-9-]{1,64}$"))]
    pub region: String,
}

fn auto() -> String {
    "auto".to_owned()
}

impl Credentials {
    /// # Errors
    /// `Invalid`, naming the field and never what it holds: whatever cannot stand in a header would
    /// bring a client down.
    pub(super) fn validate(&self) -> Result<(), Failure> {
        let visible = |name: &str, secret: &Secret, longest: usize| {
            let text = secret.expose();
            let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
            if plain && (1..=longest).contains(&text.len()) {
                return Ok(());
            }
            let message = format!("1 to {longest} visible ASCII characters are allowed");
            Err(Failure::field(format!("storage.{name}"), message))
        };
        visible("access_key_id", &self.access_key_id, 256)?;
        visible("secret_access_key", &self.secret_access_key, 256)?;
        if let Some(token) = &self.session_token {
            visible("session_token", token, 8192)?;
        }
        let plain = self.region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !plain || !(1..=64).contains(&self.region.len()) {
            let message = "1 to 64 letters, digits and '-' are allowed";
            return Err(Failure::field("storage.region", message));
        }
        Ok(())
    }

    /// What tells them from others, without the secrets.
    pub fn identity(&self) -> Value {
        json!({
            "endpoint_url": self.endpoint_url,
            "key": self.access_key_id.fingerprint(),
            "secret": self.secret_access_key.fingerprint(),
            "token": self.session_token.as_ref().map(Secret::fingerprint),
            "region": self.region,
        })
    }
}
