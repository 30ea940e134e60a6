//! Addresses with places for a worker's and a job's id.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;

use crate::settings_error::SettingsError;

/// What an id is written with: unreserved characters stay.
const ID: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// An address longer than this is a mistake.
const LONGEST: usize = 4096;

/// An address of the platform. Its query may hold credentials, so it is shown without.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
}

impl Template {
    /// Reads the value of `variable` and puts the worker's id in place of `$RUNPOD_POD_ID`.
    /// A `$ID` is left for [`Template::url`].
    ///
    /// # Errors
    /// Names the variable, its value without the query, and what is allowed: http or https, a
    /// host, no credentials, no fragment, no placeholder but these two, and none in the host.
    pub fn parse(variable: &str, value: &str, worker: &str) -> Result<Self, SettingsError> {
        let fail = |why: &str| {
            let shown = if value.contains('@') { "[with credentials]" } else { bare(value) };
            let shown: String = shown.chars().take(200).collect();
            Err(SettingsError::new(format!("{variable} {shown:?}: {why}")))
        };
        if value.len() > LONGEST {
            return fail("longer than 4096 bytes");
        }
        let authority = value.split_once("://").map_or("", |(_, rest)| rest);
        let authority = authority.split(['/', '?', '#']).next().unwrap_or("");
        if authority.contains('$') {
            return fail("a placeholder may stand in the path or the query only");
        }
        let text = value.replace("$RUNPOD_POD_ID", &written(worker));
        let template = Self { text };
        if placeholder(&template.text.replace("$ID", "")) {
            return fail("the placeholders are $RUNPOD_POD_ID and $ID");
        }
        let Ok(url) = template.text.parse::<Url>() else { return fail("not a URL") };
        if !url.username().is_empty() || url.password().is_some() {
            return fail("credentials in a URL are not allowed");
        }
        if !matches!(url.scheme(), "http" | "https") {
            return fail("allowed are https and http");
        }
        if url.host_str().is_none_or(str::is_empty) {
            return fail("it names no host");
        }
        if url.fragment().is_some() {
            return fail("a fragment is not allowed");
        }
        // However the parser found the host: no id may change it.
        let host = |id| {
            let url = template.url(id).ok()?;
            Some((url.host_str()?.to_owned(), url.port_or_known_default()))
        };
        if host("a").is_none() || host("a") != host("b") {
            return fail("a placeholder may stand in the path or the query only");
        }
        Ok(template)
    }

    /// Whether a job's id has a place in it.
    pub fn names_job(&self) -> bool {
        self.text.contains("$ID")
    }

    /// The address with `id` in place of `$ID`.
    ///
    /// # Errors
    /// None for a template that was parsed.
    pub fn url(&self, id: &str) -> Result<Url, SettingsError> {
        let text = self.text.replace("$ID", &written(id));
        text.parse().map_err(|_| SettingsError::new(format!("{self:?} makes no address")))
    }
}

fn written(id: &str) -> String {
    match id {
        // These would be steps in the path, escaped or not.
        "." | ".." => id.replace('.', "%252E"),
        id => utf8_percent_encode(id, ID).to_string(),
    }
}

fn bare(text: &str) -> &str {
    text.split(['?', '#']).next().unwrap_or(text)
}

/// Whether a `$` before a capital letter is left.
fn placeholder(text: &str) -> bool {
    text.split('$').skip(1).any(|after| after.starts_with(|c: char| c.is_ascii_uppercase()))
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.text.contains('?') { "?..." } else { "" };
        write!(f, "{}{more}", bare(&self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Template, SettingsError> {
        Template::parse("RUNPOD_WEBHOOK_POST_OUTPUT", text, "pod/1")
    }

    #[test]
    fn ids_take_their_places_and_cannot_leave_them() {
        let text = "https://api.example/v2/ep/job-done/$RUNPOD_POD_ID/$ID?gpu=RTX+4090&t=a%2Bb";
        let template = parse(text).unwrap();
        assert!(template.names_job());
        for (id, end) in [
            ("job-1", "job-1"),
            ("5e0-u1", "5e0-u1"),
            ("../../x", "..%2F..%2Fx"),
            ("a?b#c&d", "a%3Fb%23c%26d"),
            ("$ID", "%24ID"),
            ("..", "%252E%252E"),
        ] {
            let url = template.url(id).unwrap();
            let path = format!("/v2/ep/job-done/pod%2F1/{end}");
            assert_eq!((url.path(), url.query()), (path.as_str(), Some("gpu=RTX+4090&t=a%2Bb")));
        }
    }

    #[test]
    fn addresses_that_cannot_work_are_named_without_their_secrets() {
        for bad in [
            "",
            "api.example/$ID",
            "ftp://api.example/$ID",
            "file:///etc/passwd",
            "https://$ID.example/x",
            "https:/$ID/x",
            "https:\\\\$ID\\x",
            "https://user:canary@api.example/$ID",
            "https://api.example/$ID#x",
            "https://api.example/$OTHER/$ID?token=canary",
            "https:///?token=canary$HOME",
            &format!("https://api.example/{}", "x".repeat(5000)),
        ] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(error.starts_with("RUNPOD_WEBHOOK_POST_OUTPUT "), "{error}");
            assert!(!error.contains("canary"), "{error}");
            assert!(error.len() < 400, "{error}");
        }
        let template = parse("https://api.example/$ID?token=canary").unwrap();
        assert_eq!(format!("{template:?}"), "https://api.example/$ID?...");
        assert!(parse("https://api.example/$ID?price=$5").is_ok());
    }
}
