//! One moto server per test, and what tests set up in it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType,
};
use parallax_aws::{Aws, Settings, Tables};

/// A server that ends with the test.
pub(crate) struct Moto {
    process: Child,
    pub(crate) url: String,
    pub(crate) aws: Aws,
    names: AtomicU32,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Moto {
    pub(crate) async fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tools/moto_server.py");
        let mut process = Command::new("python3")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 with moto[server] is needed for these tests");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.strip_prefix("port ").expect("moto starts").trim();
        let url = format!("http://127.0.0.1:{port}");
        let aws = Self::clients(&url).await;
        Self { process, url, aws, names: AtomicU32::new(0) }
    }

    /// Clients of whatever answers at `url`.
    pub(crate) async fn clients(url: &str) -> Aws {
        let settings = Settings {
            region: Some("eu-west-1".to_owned()),
            endpoint_url: Some(url.to_owned()),
            ..Settings::default()
        };
        let credentials = Credentials::new("test", "test", None, None, "tests");
        Aws::load(&settings).await.with_credentials(credentials)
    }

    /// How often each operation was called since [`Self::forget_calls`].
    pub(crate) fn calls(&self) -> BTreeMap<String, u32> {
        serde_json::from_str(&self.ask("GET")).unwrap()
    }

    pub(crate) fn forget_calls(&self) {
        self.ask("DELETE");
    }

    fn ask(&self, method: &str) -> String {
        let mut stream = TcpStream::connect(self.url.strip_prefix("http://").unwrap()).unwrap();
        let request = format!("{method} /calls HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// A name that nothing in this server has.
    pub(crate) fn name(&self, kind: &str) -> String {
        format!("{kind}-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// A new queue's address.
    pub(crate) async fn queue(&self) -> String {
        let call = self.aws.sqs().create_queue().queue_name(self.name("queue"));
        call.send().await.unwrap().queue_url.unwrap()
    }

    /// A new bucket.
    pub(crate) async fn bucket(&self) -> String {
        let name = self.name("bucket");
        let region = aws_sdk_s3::types::BucketLocationConstraint::EuWest1;
        let place = aws_sdk_s3::types::CreateBucketConfiguration::builder()
            .location_constraint(region)
            .build();
        let call = self.aws.s3().create_bucket().bucket(&name).create_bucket_configuration(place);
        call.send().await.unwrap();
        name
    }

    /// The four tables of the contract, new.
    pub(crate) async fn tables(&self) -> Tables {
        let tables = Tables {
            jobs: self.name("jobs"),
            completions: self.name("segment-completions"),
            triggers: self.name("reassembly-triggered"),
            invocations: self.name("inference-invocations"),
        };
        use ScalarAttributeType::{N, S};
        let job = ("job_id", S);
        let range = ("segment_index", N);
        self.table(&tables.completions, &[job.clone(), range], &[]).await;
        self.table(&tables.triggers, std::slice::from_ref(&job), &[]).await;
        self.table(&tables.invocations, &[("output_location", S)], &[]).await;
        let indices = [("status", "completed_at"), ("status", "created_at")];
        self.table(&tables.jobs, &[job], &indices).await;
        tables
    }

    async fn table(
        &self,
        name: &str,
        keys: &[(&str, ScalarAttributeType)],
        indices: &[(&str, &str)],
    ) {
        let client = self.aws.dynamodb();
        let mut call =
            client.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
        let element = |name: &str, kind| {
            KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
        };
        let define = |name: &str, kind: ScalarAttributeType| {
            AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(kind)
                .build()
                .unwrap()
        };
        for ((name, kind), role) in keys.iter().zip([KeyType::Hash, KeyType::Range]) {
            call = call.key_schema(element(name, role));
            call = call.attribute_definitions(define(name, kind.clone()));
        }
        if !indices.is_empty() {
            call = call.attribute_definitions(define("status", ScalarAttributeType::S));
        }
        for (hash, range) in indices {
            call = call.attribute_definitions(define(range, ScalarAttributeType::N));
            let index = GlobalSecondaryIndex::builder()
                .index_name(format!("{hash}-{range}"))
                .key_schema(element(hash, KeyType::Hash))
                .key_schema(element(range, KeyType::Range))
                .projection(Projection::builder().projection_type(ProjectionType::All).build())
                .build()
                .unwrap();
            call = call.global_secondary_indexes(index);
        }
        call.send().await.unwrap();
    }
}
