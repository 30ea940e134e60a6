//! Text of others, without what opens anything: bodies of messages and errors quote addresses and requests.

use parallax_secret::Secret;
use serde_json::Value;

const SHOWN: &str = "[redacted]";
/// Parts of the names of what is shown to nobody, in lower case and without separators.
const NAMES: [&str; 9] = [
    "token",
    "secret",
    "password",
    "passwd",
    "authorization",
    "apikey",
    "accesskey",
    "signature",
    "credential",
];

fn is_secret(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let plain = plain.to_ascii_lowercase();
    NAMES.iter().any(|part| plain.contains(part))
}

/// `text` without these secrets, values of fields and parameters whose names say that they are secret, and users of
/// addresses.
pub(crate) fn redact(text: &str, secrets: &[Secret]) -> String {
    let text = match serde_json::from_str::<Value>(text) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => in_json(value).to_string(),
        _ => in_words(text),
    };
    secrets.iter().fold(text, |text, secret| secret.redact(&text))
}

fn in_json(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let told = fields.into_iter().map(|(name, value)| {
                let value = if is_secret(&name) { SHOWN.into() } else { in_json(value) };
                (name, value)
            });
            Value::Object(told.collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(in_json).collect()),
        // A message within a message.
        Value::String(text) => match serde_json::from_str::<Value>(&text) {
            Ok(inner @ (Value::Object(_) | Value::Array(_))) => in_json(inner).to_string().into(),
            _ => in_words(&text).into(),
        },
        other => other,
    }
}

/// Word by word, so that what surrounds an address stays.
fn in_words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut hide_next = false;
    for piece in text.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        let space = &piece[word.len()..];
        match word {
            "" => {}
            _ if hide_next => {
                let scheme = ["bearer", "basic"].iter().any(|s| word.eq_ignore_ascii_case(s));
                out.push_str(if scheme { word } else { SHOWN });
                hide_next = scheme;
            }
            _ => {
                let (shown, open) = in_word(word);
                out.push_str(&shown);
                hide_next = open || word.eq_ignore_ascii_case("bearer");
            }
        }
        out.push_str(space);
    }
    out
}

/// A word, and whether the one after it is to be hidden: `Authorization: …`.
fn in_word(word: &str) -> (String, bool) {
    let word = without_user(word);
    let mut out = String::with_capacity(word.len());
    for piece in word.split_inclusive(['?', '&', ';', ',']) {
        let (pair, end) = match piece.char_indices().next_back() {
            Some((at, c)) if "?&;,".contains(c) => piece.split_at(at),
            _ => (piece, ""),
        };
        match pair.split_once(['=', ':']) {
            Some((name, value))
                if is_secret(name) && !value.is_empty() && !value.starts_with("//") =>
            {
                out.push_str(&pair[..=name.len()]);
                out.push_str(SHOWN);
            }
            _ => out.push_str(pair),
        }
        out.push_str(end);
    }
    let open = word.strip_suffix([':', '=']).is_some_and(is_secret);
    (out, open)
}

/// `scheme://user:password@host` without the middle.
fn without_user(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..authority].rfind('@') {
        Some(at) => format!("{scheme}://{SHOWN}{}", &rest[at..]),
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_opens_something_is_not_shown_and_the_rest_is() {
        for (text, told) in [
            ("all is well", "all is well"),
            (
                "GET https://b.example/k?X-Amz-Signature=canary&X-Amz-Expires=60 failed",
                "GET https://b.example/k?X-Amz-Signature=[redacted]&X-Amz-Expires=60 failed",
            ),
            ("https://me:canary@h.example/a", "https://[redacted]@h.example/a"),
            ("Authorization: Bearer canary and more", "Authorization: Bearer [redacted] and more"),
            ("api_key=canary, x=1", "api_key=[redacted], x=1"),
            ("a token=canary", "a token=[redacted]"),
            ("the token was wrong", "the token was wrong"),
        ] {
            assert_eq!(redact(text, &[]), told);
        }
        let body = r#"{"Records":[{"url":"s3://b/k?token=canary","HF_TOKEN":"canary","n":1,"inner":"{\"password\":\"canary\"}"}]}"#;
        let told = redact(body, &[]);
        assert!(
            !told.contains("canary") && told.contains("s3://b/k") && told.contains("\"n\":1"),
            "{told}"
        );
        let own = [Secret::new("quite-an-own-secret")];
        assert_eq!(redact("said quite-an-own-secret", &own), "said [redacted]");
    }
}
