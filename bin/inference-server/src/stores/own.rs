//! Stores that requests bring credentials for.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use parallax_aws::{Compatible, Resolver, S3Objects};
use parallax_ports::ObjectStore;
use parallax_serving::net::Outside;
use parallax_serving::{Connect, Credentials, Failure};

/// S3-compatible stores of allowed origins at allowed addresses.
#[derive(Debug, Clone)]
pub(super) struct Own {
    outside: Outside,
}

impl Own {
    pub(super) fn new(outside: Outside) -> Self {
        Self { outside }
    }
}

#[async_trait]
impl Connect for Own {
    fn check(&self, endpoint_url: &str) -> Result<(), Failure> {
        self.outside.check(endpoint_url).map(drop)
    }

    async fn connect(&self, credentials: &Credentials) -> Result<Arc<dyn ObjectStore>, Failure> {
        let url = self.outside.check(&credentials.endpoint_url)?;
        let store = Compatible {
            endpoint_url: url.to_string(),
            region: credentials.region.clone(),
            access_key_id: credentials.access_key_id.clone(),
            secret_access_key: credentials.secret_access_key.clone(),
            session_token: credentials.session_token.clone(),
        };
        let host = url.host_str().unwrap_or_default().to_owned();
        let resolver: Arc<dyn Resolver> = Arc::new(Only { host, outside: self.outside.clone() });
        Ok(Arc::new(S3Objects::compatible(&store, Some(resolver))))
    }
}

/// The one host that was checked: a client that makes up another, such as one named after the
/// bucket, finds nobody there.
#[derive(Debug)]
struct Only {
    host: String,
    outside: Outside,
}

#[async_trait]
impl Resolver for Only {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if !name.eq_ignore_ascii_case(&self.host) {
            let what = format!("{name} is not the store's host");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
        }
        self.outside.resolve(name).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parallax_serving::net::Networks;

    #[tokio::test]
    async fn only_the_stores_own_host_is_looked_up() {
        let networks =
            Networks::new(vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
        let outside = Outside::new(vec!["http://*.localhost".parse().unwrap()], networks);
        let only = Only { host: "localhost".to_owned(), outside };
        assert!(only.resolve("LOCALHOST").await.is_ok());
        let error = only.resolve("bucket.localhost").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}
