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

/// What ends a name or stands around it.
const BETWEEN: &str = "?&;,{}[]()<>\"'#=:\\";

/// Name by name, so that what surrounds a value stays, whatever text it is and wherever it breaks off.
fn in_words(text: &str) -> String {
    let text = without_users(text);
    let mut out = String::with_capacity(text.len());
    let mut rest = &*text;
    // Whether the value of the name before would be secret.
    let mut named = false;
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() || BETWEEN.contains(first) {
            let (between, after) = rest.split_at(first.len_utf8());
            out.push_str(between);
            rest = after;
            if named && "=:".contains(first) {
                rest = without_value(rest, &mut out);
                named = false;
            } else if !first.is_whitespace() && !"\"'\\".contains(first) {
                named = false;
            }
            continue;
        }
        let end = rest.find(|c: char| c.is_whitespace() || BETWEEN.contains(c));
        let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
        out.push_str(name);
        rest = after;
        named = is_secret(name);
        if name.eq_ignore_ascii_case("bearer") {
            rest = without_value(rest, &mut out);
        }
    }
    out
}

/// Writes that `text` begins with a secret, and gives what comes after it.
fn without_value<'a>(text: &'a str, out: &mut String) -> &'a str {
    let start = text.find(|c: char| !c.is_whitespace() && c != '\\').unwrap_or(text.len());
    let (before, value) = text.split_at(start);
    out.push_str(before);
    if let Some(after) = value.strip_prefix(SHOWN) {
        out.push_str(SHOWN);
        return after;
    }
    let end = match value.chars().next() {
        None => return value,
        // Lists and objects that could not be read: nobody knows where they end.
        Some('[' | '{') => value.len(),
        Some(quote @ ('"' | '\'')) => {
            out.push(quote);
            let inner = &value[1..];
            let is_escaped = before.ends_with('\\');
            out.push_str(SHOWN);
            return &inner[closing(inner, quote, is_escaped)..];
        }
        Some(_) => value
            .find(|c: char| c.is_whitespace() || "&;,{}[]\"'".contains(c))
            .unwrap_or(value.len()),
    };
    let (value, after) = value.split_at(end);
    if ["bearer", "basic"].iter().any(|scheme| value.eq_ignore_ascii_case(scheme)) {
        out.push_str(value);
        return without_value(after, out);
    }
    if !value.is_empty() {
        out.push_str(SHOWN);
    }
    after
}

/// Where the quote stands that ends `inner`, or its length. In text that is quoted itself the next one does.
fn closing(inner: &str, quote: char, is_escaped: bool) -> usize {
    let mut is_taken = false;
    for (at, c) in inner.char_indices() {
        if c == quote && (is_escaped || !is_taken) {
            return at;
        }
        is_taken = c == '\\' && !is_taken;
    }
    inner.len()
}

/// Each `scheme://user:password@host` without the middle.
fn without_users(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (scheme, after) = rest.split_at(at + "://".len());
        out.push_str(scheme);
        let ends = |c: char| c.is_whitespace() || "/?#\"'<>".contains(c);
        let authority = &after[..after.find(ends).unwrap_or(after.len())];
        rest = after;
        if let Some(user) = authority.rfind('@') {
            out.push_str(SHOWN);
            rest = &after[user..];
        }
    }
    out.push_str(rest);
    out
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
            ("https://h/#access_token=canary", "https://h/#access_token=[redacted]"),
            ("x:token=canary:canary", "x:token=[redacted]"),
            ("token = canary now", "token = [redacted] now"),
            ("password: 'canary canary' now", "password: '[redacted]' now"),
            (
                "https://me:canary@a/,https://me:canary@b/",
                "https://[redacted]@a/,https://[redacted]@b/",
            ),
            (r#"{"a":{"token":"canary"},"b""#, r#"{"a":{"token":"[redacted]"},"b""#),
            (r#"{"a":"{\"token\":\"canary\",\"n"#, r#"{"a":"{\"token\":\"[redacted]",\"n"#),
            (r#"{"tokens":["canary","canary"#, r#"{"tokens":[redacted]"#),
            (r#"{"password":"can\"canary canary"#, r#"{"password":"[redacted]"#),
            ("Authorization: [redacted] and more", "Authorization: [redacted] and more"),
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
