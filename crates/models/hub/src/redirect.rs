//! Where the hub may send a download, and who is told the token on the way.

use reqwest::Url;

use crate::settings::{loopback, safe};

/// Hops that are followed.
pub(crate) const LONGEST: usize = 5;

/// Whether `url` is the hub that the token is for.
pub(crate) fn same_origin(hub: &Url, url: &Url) -> bool {
    hub.origin() == url.origin()
}

/// The address that `location` means at `from`; a reason if it is not followed.
///
/// https stays https, and what comes from elsewhere is never fetched from this machine: a hub on the
/// internet has no business with a loopback address.
pub(crate) fn target(from: &Url, location: &str) -> Result<Url, &'static str> {
    let Ok(url) = from.join(location) else { return Err("redirected to no address") };
    if !safe(&url) {
        return Err("redirected to an address without TLS");
    }
    if from.scheme() == "https" && url.scheme() != "https" {
        return Err("redirected from https to http");
    }
    if loopback(&url) && !loopback(from) {
        return Err("redirected to this machine");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_safe_places_are_followed() {
        let url = |text: &str| text.parse::<Url>().unwrap();
        let hub = url("https://hub.example/a/b");
        assert_eq!(target(&hub, "/c").unwrap(), url("https://hub.example/c"));
        assert_eq!(target(&hub, "https://cdn.example/c?s=1").unwrap().path(), "/c");
        for bad in ["http://cdn.example/c", "https://127.0.0.1/c", "file:///etc/passwd", "http://["]
        {
            assert!(target(&hub, bad).is_err(), "{bad}");
        }
        assert!(target(&url("http://127.0.0.1:1/"), "http://localhost:2/x").is_ok());
    }

    #[test]
    fn another_port_is_another_origin() {
        let url = |text: &str| text.parse::<Url>().unwrap();
        let hub = url("https://hub.example/");
        assert!(same_origin(&hub, &url("https://hub.example:443/x")));
        for other in ["https://hub.example:444/", "https://cdn.hub.example/", "http://hub.example/"]
        {
            assert!(!same_origin(&hub, &url(other)), "{other}");
        }
    }
}
