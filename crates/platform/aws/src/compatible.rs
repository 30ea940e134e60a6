//! Stores that speak S3's protocol somewhere else, with credentials of their own.

use std::fmt::Debug;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_sdk_s3::config::{
    BehaviorVersion, Region, RequestChecksumCalculation, ResponseChecksumValidation,
};
use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use parallax_secret::Secret;

use crate::S3Objects;
use crate::config::store_timeouts;

/// Where such a store is, and who asks.
#[derive(Debug, Clone)]
pub struct Compatible {
    /// Its address; buckets are the first part of the path.
    pub endpoint_url: String,
    /// Region; `auto` where there is none.
    pub region: String,
    /// Access key.
    pub access_key_id: Secret,
    /// Secret key.
    pub secret_access_key: Secret,
    /// Token of temporary credentials.
    pub session_token: Option<Secret>,
}

/// Finds the addresses of a name. Whoever lets strangers name a store decides here what may be
/// spoken to: no other address is connected to.
#[async_trait]
pub trait Resolver: Debug + Send + Sync {
    /// Every address of `name`.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

#[derive(Debug, Clone)]
struct Dns(Arc<dyn Resolver>);

impl ResolveDns for Dns {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move { self.0.resolve(name).await.map_err(ResolveDnsError::new) })
    }
}

impl S3Objects {
    /// Objects in another store. Names are looked up by `resolver` where there is one. Checksums
    /// are left to those calls that cannot do without: not every such store knows the newer ones.
    pub fn compatible(store: &Compatible, resolver: Option<Arc<dyn Resolver>>) -> Self {
        let builder = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring));
        let http = match resolver {
            Some(resolver) => builder.build_with_resolver(Dns(resolver)),
            None => builder.build_https(),
        };
        let token = store.session_token.as_ref().map(|token| token.expose().to_owned());
        let (key, secret) = (store.access_key_id.expose(), store.secret_access_key.expose());
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .endpoint_url(&store.endpoint_url)
            .region(Region::new(store.region.clone()))
            .credentials_provider(Credentials::new(key, secret, token, None, "request"))
            .force_path_style(true)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .timeout_config(store_timeouts())
            .build();
        Self::new(aws_sdk_s3::Client::from_conf(config))
    }
}
