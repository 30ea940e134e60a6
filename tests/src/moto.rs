//! A moto server and its objects, for programs that need no deployment.

use aws_credential_types::Credentials;
use parallax_aws::{Aws, S3Objects, Settings};

use crate::cloud;

/// Region of everything in it.
const REGION: &str = "us-east-1";

/// A running server; ends with the test.
#[derive(Debug)]
pub struct Moto {
    server: cloud::Moto,
    aws: Aws,
}

impl Moto {
    /// Starts one.
    pub async fn start() -> Self {
        let server = cloud::Moto::start(cloud::EventFaults::default());
        let aws = Self::aws(&server.url).await;
        Self { server, aws }
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.server.url
    }

    /// Clients of whatever answers at `url`.
    pub async fn aws(url: &str) -> Aws {
        let settings = Settings {
            region: Some(REGION.to_owned()),
            endpoint_url: Some(url.to_owned()),
            ..Settings::default()
        };
        let credentials = Credentials::new("test", "test", None, None, "tests");
        Aws::load(&settings).await.with_credentials(credentials)
    }

    /// Its objects, with these buckets made.
    pub async fn objects(&self, buckets: &[&str]) -> S3Objects {
        let client = self.aws.s3();
        for bucket in buckets {
            client.create_bucket().bucket(*bucket).send().await.unwrap();
        }
        S3Objects::new(client)
    }

    /// Variables with which a program finds it.
    pub fn variables(&self) -> [(&str, &str); 4] {
        [
            ("AWS_ENDPOINT_URL", self.url()),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ]
    }
}
