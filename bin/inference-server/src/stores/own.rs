//! Stores that requests bring credentials for.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use parallax_aws::{Compatible, Resolver, S3Objects, Secret};
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
        let secret = |secret: &parallax_serving::Secret| Secret::new(secret.expose());
        let store = Compatible {
            endpoint_url: url.to_string(),
            region: credentials.region.clone(),
            access_key_id: secret(&credentials.access_key_id),
            secret_access_key: secret(&credentials.secret_access_key),
            session_token: credentials.session_token.as_ref().map(secret),
        };
        let resolver: Arc<dyn Resolver> = Arc::new(self.clone());
        Ok(Arc::new(S3Objects::compatible(&store, Some(resolver))))
    }
}

#[async_trait]
impl Resolver for Own {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.outside.resolve(name).await
    }
}
