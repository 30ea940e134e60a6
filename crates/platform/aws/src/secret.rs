//! The Hugging Face token from Secrets Manager, in a type that does not show it.

use aws_sdk_secretsmanager::Client;
use parallax_ports::{Error, Kind, Result};
use parallax_secret::Secret;

use crate::error::translate;

/// Fetches the token: the secret's whole string, or the field `hf_token`, `HF_TOKEN` or `token` of
/// a JSON object.
///
/// # Errors
/// As the service answers; `Rejected` when the secret holds no token.
pub async fn fetch_token(client: &Client, arn: &str) -> Result<Secret> {
    let answer = client.get_secret_value().secret_id(arn).send().await;
    let answer = answer.map_err(|error| translate(format!("fetch secret {arn}"), error))?;
    let text = answer.secret_string().unwrap_or_default();
    token(text).ok_or_else(|| {
        let text =
            format!("secret {arn}: neither a token nor JSON with hf_token, HF_TOKEN or token");
        Error::new(Kind::Rejected, text)
    })
}

fn token(text: &str) -> Option<Secret> {
    let text = text.trim();
    let found = if text.starts_with('{') {
        let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
        let named = ["hf_token", "HF_TOKEN", "token"].iter().find_map(|name| fields.get(*name));
        named?.as_str()?.trim().to_owned()
    } else {
        text.to_owned()
    };
    (!found.is_empty()).then(|| Secret::new(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_string_or_a_field() {
        for text in [
            "hf_abc",
            " hf_abc\n",
            r#"{"hf_token":"hf_abc"}"#,
            r#"{"HF_TOKEN":"hf_abc"}"#,
            r#"{"other":1,"token":"hf_abc"}"#,
        ] {
            assert_eq!(token(text).unwrap().expose(), "hf_abc", "{text}");
        }
        for text in ["", "  ", "{}", r#"{"hf_token":7}"#, r#"{"hf_token":""}"#, "{broken"] {
            assert_eq!(token(text), None, "{text}");
        }
    }

    #[test]
    fn neither_debug_nor_json_shows_it() {
        let secret = Secret::new("hf_canary");
        let shown = format!("{secret:?} {}", serde_json::to_string(&secret).unwrap());
        assert!(!shown.contains("canary"), "{shown}");
    }
}
