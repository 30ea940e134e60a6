//! Names to addresses, all of which may be spoken to.
//!
//! The answer that was checked is the one that is connected to: a second lookup could say
//! something else.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use url::Url;

use super::addresses::Networks;
use super::origin::{Origin, literal};
use crate::{Failure, FailureKind};

/// The longest URL in characters, given or redirected to.
const LONGEST_URL: usize = 4096;

/// What lies outside and may be spoken to on behalf of a request. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Outside(Arc<Allowed>);

#[derive(Debug, Default)]
struct Allowed {
    origins: Vec<Origin>,
    networks: Networks,
}

impl Outside {
    /// What is of one of `origins` and has addresses that `networks` does not refuse.
    pub fn new(origins: Vec<Origin>, networks: Networks) -> Self {
        Self(Arc::new(Allowed { origins, networks }))
    }

    /// Whether nothing is.
    pub fn is_closed(&self) -> bool {
        self.0.origins.is_empty()
    }

    /// Reads a URL and checks everything that can be told without asking anybody.
    ///
    /// # Errors
    /// `Invalid` or `Forbidden`. The message never holds the path or the query.
    pub fn check(&self, text: &str) -> Result<Url, Failure> {
        let invalid = |why: &str| Failure::new(FailureKind::Invalid, why);
        if text.len() > LONGEST_URL {
            return Err(invalid("a URL has at most 4096 characters"));
        }
        let url = Url::parse(text).map_err(|error| invalid(&format!("not a URL: {error}")))?;
        self.permit(&url)?;
        Ok(url)
    }

    /// Where a redirect leads, checked like the first address.
    pub(super) fn redirected(&self, from: &Url, location: Option<&str>) -> Result<Url, Failure> {
        let next = location.and_then(|location| from.join(location).ok());
        let next = next.filter(|next| next.as_str().len() <= LONGEST_URL);
        let Some(next) = next else {
            return Err(Failure::new(FailureKind::Invalid, "a redirect that leads nowhere"));
        };
        if from.scheme() == "https" && next.scheme() != "https" {
            let message = "a redirect from https to something else";
            return Err(Failure::new(FailureKind::Forbidden, message));
        }
        self.permit(&next)?;
        Ok(next)
    }

    /// As [`Outside::check`], for a URL that was read.
    pub(super) fn permit(&self, url: &Url) -> Result<(), Failure> {
        if !url.username().is_empty() || url.password().is_some() {
            let message = "a URL with a user or a password is not allowed";
            return Err(Failure::new(FailureKind::Invalid, message));
        }
        let forbid = |why: String| Err(Failure::new(FailureKind::Forbidden, why));
        if let Some(address) = literal(url)
            && let Some(why) = self.0.networks.refuse(address)
        {
            return forbid(format!("the host {address} is {why}"));
        }
        if self.0.origins.iter().any(|origin| origin.holds(url)) {
            return Ok(());
        }
        let list: Vec<String> = self.0.origins.iter().map(Origin::to_string).collect();
        let list = if list.is_empty() { "none".to_owned() } else { list.join(", ") };
        let origin = url.origin().ascii_serialization();
        forbid(format!("{origin} is not an allowed origin; allowed are: {list}"))
    }

    /// The addresses of a name. One that may not be spoken to spoils them all: whoever mixes them
    /// means no good.
    ///
    /// # Errors
    /// `PermissionDenied` for a refused address, otherwise as the resolver says.
    pub async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let found: Vec<SocketAddr> = tokio::net::lookup_host((name, 0)).await?.collect();
        let addresses: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
        self.judge(name, &addresses)?;
        Ok(addresses)
    }

    fn judge(&self, name: &str, addresses: &[IpAddr]) -> io::Result<()> {
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("{name} has no address")));
        }
        for address in addresses {
            if let Some(why) = self.0.networks.refuse(*address) {
                let what = format!("{name} has the address {address}, {why}");
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
            }
        }
        Ok(())
    }
}

impl reqwest::dns::Resolve for Outside {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let outside = self.clone();
        Box::pin(async move {
            let addresses = Outside::resolve(&outside, name.as_str()).await?;
            let addresses = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as reqwest::dns::Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside() -> Outside {
        let origins = ["https://cdn.example", "https://*.store.example", "http://127.0.0.1"];
        Outside::new(origins.iter().map(|o| o.parse().unwrap()).collect(), Networks::default())
    }

    #[test]
    fn metadata_is_refused_in_every_notation() {
        for host in [
            "169.254.169.254",
            "169.254.43518",
            "169.16689662",
            "2852039166",
            "0xa9fea9fe",
            "0xa9.0xfe.0xa9.0xfe",
            "0251.0376.0251.0376",
            "0251.254.0xa9.254",
            "169.254.169.254.",
            "%31%36%39.254.169.254",
            "１６９.２５４.１６９.２５４",
            "169。254。169。254",
            "[::ffff:169.254.169.254]",
            "[::ffff:a9fe:a9fe]",
            "[0:0:0:0:0:ffff:a9fe:a9fe]",
            "[::169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:a9fe:a9fe::]",
            "[fd00:ec2::254]",
            "[fe80::a9fe:a9fe]",
            "0",
            "0.0.0.0",
            "127.1",
            "0x7f.1",
            "017700000001",
            "2130706433",
            "[::1]",
            "[::]",
            "metadata.google.internal",
            "localhost",
        ] {
            for path in ["/latest/meta-data/", ":80/", ":443/x?y"] {
                let text = format!("http://{host}{path}");
                let failure = outside().check(&text).unwrap_err();
                assert_eq!(failure.kind, FailureKind::Forbidden, "{text}: {failure}");
                assert!(!failure.message.contains("meta-data"), "{failure}");
            }
        }
    }

    #[test]
    fn only_allowed_origins_are_let_through() {
        for good in ["https://cdn.example/a.mp4?sig=x", "https://a.store.example/b/c"] {
            assert!(outside().check(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "cdn.example",
            "//cdn.example",
            "https://",
            "https://user@cdn.example/",
            "https://:canary@cdn.example/",
            "file:///etc/passwd",
            "gopher://cdn.example/",
            "data:text/plain,x",
            "ftp://cdn.example/",
            "http://cdn.example/",
            "https://evil/",
            "https://cdn.example:8443/",
            "javascript:1",
        ] {
            let failure = outside().check(bad).unwrap_err();
            assert!(!failure.message.contains("canary"), "{failure}");
        }
        assert!(Outside::default().is_closed());
        assert!(Outside::default().check("https://cdn.example/").is_err());
    }

    #[test]
    fn one_bad_address_spoils_a_name() {
        let good: IpAddr = "8.8.8.8".parse().unwrap();
        let bad: IpAddr = "10.0.0.1".parse().unwrap();
        assert!(outside().judge("x", &[good]).is_ok());
        let error = outside().judge("x", &[good, bad]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(outside().judge("x", &[]).is_err());
    }

    #[tokio::test]
    async fn a_name_that_leads_home_is_refused() {
        let error = Outside::resolve(&outside(), "localhost").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}
