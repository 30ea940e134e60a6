//! A moto server that ends with the test.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use aws_credential_types::Credentials;
use parallax_aws::{Aws, S3Objects, Settings};

/// Region of everything in it.
const REGION: &str = "us-east-1";

/// A running server.
#[derive(Debug)]
pub struct Moto {
    process: Child,
    /// Its address.
    pub url: String,
    aws: Aws,
}

impl Moto {
    /// Starts one.
    pub async fn start() -> Self {
        let script = "../tools/moto_server.py";
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
        let mut command = Command::new("python3");
        let command = command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("python3 with moto[server] is needed");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.strip_prefix("port ").expect("moto starts").trim();
        let url = format!("http://127.0.0.1:{port}");
        let aws = Self::aws(&url).await;
        Self { process, url, aws }
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
            ("AWS_ENDPOINT_URL", &self.url),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ]
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
