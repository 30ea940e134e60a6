//! The one way to make an HTTP client: rustls with ring, certificates as the system trusts them, nothing
//! followed or repeated behind the caller's back.

use std::sync::Arc;

use reqwest::{Client, ClientBuilder};
use rustls_platform_verifier::BuilderVerifierExt;

/// A client that follows no redirect, since a token goes to the asked host only, and repeats nothing,
/// since only the caller knows what may be asked twice. Limits of time are the caller's.
///
/// # Errors
/// When TLS cannot be set up.
///
/// ```
/// let client = parallax_http_client::builder()?.no_proxy().build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn builder() -> Result<ClientBuilder, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_platform_verifier())?
        .with_no_client_auth();
    Ok(Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .user_agent(concat!("parallax/", env!("CARGO_PKG_VERSION"))))
}
