//! Where the hub is, and how patient to be with it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use parallax_secret::{Given, Secret, one_line};
use reqwest::Url;
use reqwest::header::HeaderValue;
use serde::Serialize;

use crate::error::Error;

/// Where models are published.
const HUB: &str = "https://huggingface.co";

/// An access token that is shown to nobody by accident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Token(Secret);

impl Token {
    /// Wraps it, without the blanks around it; `None` when nothing is left.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(Secret::new(text)))
    }

    pub(crate) fn header(&self) -> Result<HeaderValue, Error> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.0.expose()))
            .map_err(|_| Error::Settings("HF_TOKEN: only printable ASCII is allowed".to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// `text` without the token in it.
    pub(crate) fn redact(&self, text: &str) -> String {
        text.replace(self.0.expose(), "[redacted]")
    }
}

/// How to download.
#[derive(Debug, Clone, Serialize)]
pub struct Settings {
    /// Target folder; every model has a sub-folder of it.
    pub dir: PathBuf,
    /// Address of the hub: https, or http to a loopback address. Defaults to the public hub.
    pub endpoint: String,
    /// Address of a folder with copies at `OWNER/NAME/COMMIT/FILE`, which is asked in place of the hub for
    /// what is pinned: https, or http to a loopback address. Defaults to none.
    pub mirror: Option<String>,
    /// The lock file. Defaults to `weights.lock` in the target folder, which is made where it is missing.
    pub lock: Option<PathBuf>,
    /// Sent to the hub, as gated repositories want it. Defaults to none.
    pub token: Option<Token>,
    /// Ask nobody: succeed only if everything is there already. Defaults to false.
    pub offline: bool,
    /// Read every file again and compare its digest, rather than trust the record. Defaults to false.
    pub verify: bool,
    /// Tries in a row without progress before giving up. Defaults to 6.
    pub tries: u32,
    /// Pause after the first failure; doubles with each one, with jitter. Defaults to 0.5 s.
    pub first_pause: Duration,
    /// Longest pause, also of those that the hub asks for. Defaults to 60 s.
    pub longest_pause: Duration,
    /// Longest time to connect, to get an answer, and between two pieces of it. Defaults to 30 s.
    pub silence: Duration,
}

impl Settings {
    /// The defaults, into `dir`.
    pub fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            endpoint: HUB.to_owned(),
            mirror: None,
            lock: None,
            token: None,
            offline: false,
            verify: false,
            tries: 6,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(60),
            silence: Duration::from_secs(30),
        }
    }

    /// [`Settings::new`] with what the hub's own tools read from the environment: `HF_ENDPOINT`,
    /// `HF_TOKEN` and `HF_HUB_OFFLINE`; and `HF_TOKEN_FILE`, which names a file with the token. And what is ours:
    /// `WEIGHTS_MIRROR` and `WEIGHTS_LOCK`.
    ///
    /// # Errors
    /// [`Error::Settings`] for a value that is not allowed.
    pub fn from_env(dir: PathBuf) -> Result<Self, Error> {
        let read = |name: &str| match std::env::var(name) {
            Ok(text) if !text.trim().is_empty() => Ok(Some(text)),
            Ok(_) | Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(Error::Settings(format!("{name}: not text")))
            }
        };
        let mut settings = Self::new(dir);
        if let Some(endpoint) = read("HF_ENDPOINT")? {
            settings.endpoint = endpoint.trim().to_owned();
        }
        settings.mirror = read("WEIGHTS_MIRROR")?.map(|mirror| mirror.trim().to_owned());
        settings.lock = read("WEIGHTS_LOCK")?.map(PathBuf::from);
        let value = read("HF_TOKEN")?.as_deref().map(str::trim).map(Secret::new);
        let file = read("HF_TOKEN_FILE")?.map(PathBuf::from);
        let given = Given::new("HF_TOKEN", value, file, one_line);
        let given = given.map_err(|error| Error::Settings(error.to_string()))?;
        settings.token = given.and_then(|given| Token::new(given.now().expose()));
        if let Some(text) = read("HF_HUB_OFFLINE")? {
            settings.offline = match text.trim().to_ascii_lowercase().as_str() {
                "1" | "true" | "yes" | "on" => true,
                "0" | "false" | "no" | "off" => false,
                _ => {
                    return Err(Error::Settings(format!(
                        "HF_HUB_OFFLINE: {text:?}; allowed are 1, true, yes, on, 0, false, no, off"
                    )));
                }
            };
        }
        Ok(settings)
    }

    /// Where files are asked for: the mirror, or else the hub.
    pub(crate) fn endpoint(&self) -> Result<Url, Error> {
        match &self.mirror {
            Some(mirror) => base("WEIGHTS_MIRROR", mirror, "a mirror asks for none"),
            None => base("HF_ENDPOINT", &self.endpoint, "use HF_TOKEN"),
        }
    }

    /// Where the lock file is.
    pub(crate) fn lock(&self) -> PathBuf {
        self.lock.clone().unwrap_or_else(|| self.dir.join(crate::lockfile::NAME))
    }
}

fn base(variable: &str, text: &str, instead: &str) -> Result<Url, Error> {
    let fail = |why: &str| {
        // A password in the text must not reach a log.
        let shown = text.split_once('@').map_or(text, |_| "[credentials]");
        Err(Error::Settings(format!("{variable}: {shown:?}: {why}")))
    };
    let Ok(mut url) = text.parse::<Url>() else { return fail("not a URL") };
    if !url.username().is_empty() || url.password().is_some() {
        return fail(&format!("credentials in a URL are not allowed; {instead}"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return fail("a query or a fragment is not allowed");
    }
    if !safe(&url) {
        return fail("allowed are https and, for loopback addresses, http");
    }
    let path = format!("{}/", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

/// Whether nobody on the way can read or change what is said.
pub(crate) fn safe(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && loopback(url))
}

/// Whether the host is this machine.
pub(crate) fn loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_shows_in_no_dump() {
        let mut settings = Settings::new("weights".into());
        settings.token = Token::new(" hf_canary\n");
        let dump = format!("{settings:?} {}", serde_json::to_string(&settings).unwrap());
        assert!(!dump.contains("canary") && dump.contains("[redacted]"), "{dump}");
        let header = settings.token.unwrap().header().unwrap();
        assert!(header.is_sensitive() && header == "Bearer hf_canary");
    }

    #[test]
    fn plain_http_is_for_this_machine() {
        let check = |endpoint: &str| {
            Settings { endpoint: endpoint.into(), ..Settings::new("weights".into()) }.endpoint()
        };
        for good in [
            "https://hub.example",
            "http://127.0.0.1:80/base",
            "http://[::1]:1",
            "http://localhost",
        ] {
            assert!(check(good).unwrap().path().ends_with('/'), "{good}");
        }
        for bad in [
            "http://hub.example",
            "ftp://hub.example",
            "hub.example",
            "https://h?x=1",
            "file:///etc",
        ] {
            assert!(matches!(check(bad), Err(Error::Settings(_))), "{bad}");
        }
        let error = check("https://me:secret@hub.example").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
