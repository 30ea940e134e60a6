//! A moto server with everything that a deployment has, spoken to in plain HTTP, and the daemon's
//! environment on it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const QUEUES: [(&str, &str); 5] = [
    ("CHUNKING_QUEUE_URL", "chunking"),
    ("VIDEO_WORKER_QUEUE_URL", "video-worker"),
    ("OUTPUT_EVENTS_QUEUE_URL", "output-events"),
    ("REASSEMBLY_QUEUE_URL", "reassembly"),
    ("DEAD_LETTER_QUEUE_URL", "dead"),
];

/// A server that ends with the test.
pub(crate) struct Cloud {
    process: Child,
    address: String,
    scratch: tempfile::TempDir,
}

impl Drop for Cloud {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Cloud {
    /// A server with the tables, queues and buckets of a deployment, whose buckets tell their
    /// queues what arrives.
    pub(crate) fn start() -> Self {
        Self::start_as(&BTreeMap::new())
    }

    /// The same, with the names that `environment` gives to things.
    pub(crate) fn start_as(environment: &BTreeMap<String, String>) -> Self {
        let called = |variable: &str, otherwise: &str| {
            let value = environment.get(variable).map_or(otherwise, String::as_str);
            value.rsplit('/').next().unwrap().to_owned()
        };
        let cloud = Self::empty();
        for (variable, name) in QUEUES {
            cloud.sqs("CreateQueue", &json!({"QueueName": called(variable, name)}));
        }
        cloud.jobs_table(&called("JOBS_TABLE_NAME", "jobs"));
        let completions = called("SEGMENT_COMPLETIONS_TABLE_NAME", "completions");
        cloud.table(
            &completions,
            &["job_id", "segment_index"],
            &[("job_id", "S"), ("segment_index", "N")],
        );
        let triggers = called("REASSEMBLY_TRIGGERED_TABLE_NAME", "triggers");
        cloud.table(&triggers, &["job_id"], &[("job_id", "S")]);
        let invocations = called("INFERENCE_INVOCATIONS_TABLE_NAME", "invocations");
        cloud.table(&invocations, &["output_location"], &[("output_location", "S")]);
        let input = called("INPUT_BUCKET_NAME", "in-bucket");
        let output = called("OUTPUT_BUCKET_NAME", "out-bucket");
        let to = called("VIDEO_WORKER_QUEUE_URL", "video-worker");
        cloud.bucket(&input, "segments/", &to);
        cloud.bucket(&output, "jobs/", &called("OUTPUT_EVENTS_QUEUE_URL", "output-events"));
        cloud
    }

    /// A server with nothing in it.
    fn empty() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/moto_server.py");
        let mut process = Command::new("python3")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 with moto[server] is needed for these tests");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.strip_prefix("port ").expect("moto starts").trim();
        let address = format!("127.0.0.1:{port}");
        Self { process, address, scratch: tempfile::tempdir().unwrap() }
    }

    fn jobs_table(&self, name: &str) {
        let index = |range: &str| {
            json!({"IndexName": format!("status-{range}"), "KeySchema": keys(&["status", range]),
                "Projection": {"ProjectionType": "ALL"}})
        };
        let attributes =
            [("job_id", "S"), ("status", "S"), ("created_at", "N"), ("completed_at", "N")];
        let mut body = table(name, &["job_id"], &attributes);
        body["GlobalSecondaryIndexes"] = json!([index("created_at"), index("completed_at")]);
        self.dynamodb("CreateTable", &body);
    }

    fn table(&self, name: &str, key: &[&str], attributes: &[(&str, &str)]) {
        self.dynamodb("CreateTable", &table(name, key, attributes));
    }

    /// A bucket that tells `queue` of new objects below `prefix`.
    fn bucket(&self, name: &str, prefix: &str, queue: &str) {
        self.s3("PUT", &format!("/{name}"), CREATE);
        let xml = format!(
            "<NotificationConfiguration><QueueConfiguration><Id>n</Id>\
             <Queue>arn:aws:sqs:eu-west-1:123456789012:{queue}</Queue>\
             <Event>s3:ObjectCreated:*</Event><Filter><S3Key><FilterRule><Name>prefix</Name>\
             <Value>{prefix}</Value></FilterRule></S3Key></Filter>\
             </QueueConfiguration></NotificationConfiguration>"
        );
        self.s3("PUT", &format!("/{name}?notification"), &xml);
    }

    pub(crate) fn queue_url(&self, name: &str) -> String {
        format!("http://{}/123456789012/{name}", self.address)
    }

    /// What a deployment sets for the daemon.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let url = format!("http://{}", self.address);
        let mut all: BTreeMap<String, String> = [
            ("PLATFORM", "aws"),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ENDPOINT_URL", &url),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("INPUT_BUCKET_NAME", "in-bucket"),
            ("OUTPUT_BUCKET_NAME", "out-bucket"),
            ("JOBS_TABLE_NAME", "jobs"),
            ("SEGMENT_COMPLETIONS_TABLE_NAME", "completions"),
            ("REASSEMBLY_TRIGGERED_TABLE_NAME", "triggers"),
            ("INFERENCE_INVOCATIONS_TABLE_NAME", "invocations"),
            ("INFERENCE_BACKEND", "stub"),
            ("HEALTH_ADDRESS", "127.0.0.1:0"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for (variable, queue) in [
            ("VIDEO_WORKER_QUEUE_URL", "video-worker"),
            ("OUTPUT_EVENTS_QUEUE_URL", "output-events"),
            ("REASSEMBLY_QUEUE_URL", "reassembly"),
            ("DEAD_LETTER_QUEUE_URL", "dead"),
        ] {
            all.insert(variable.to_owned(), self.queue_url(queue));
        }
        let state = self.scratch.path().join("state").display().to_string();
        all.insert("STATE_DIR".to_owned(), state);
        all
    }

    /// The daemon with arguments under an environment and nothing else.
    pub(crate) fn command(&self, environment: &BTreeMap<String, String>, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_video-worker"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.envs(environment).args(args).stdin(Stdio::null());
        command
    }

    /// Runs the daemon's command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(&self.environment(), args).output().unwrap()
    }

    pub(crate) fn sqs(&self, operation: &str, body: &Value) -> Value {
        self.json("sqs", &format!("AmazonSQS.{operation}"), body)
    }

    pub(crate) fn dynamodb(&self, operation: &str, body: &Value) -> Value {
        self.json("dynamodb", &format!("DynamoDB_20120810.{operation}"), body)
    }

    pub(crate) fn put_item(&self, table: &str, item: &Value) {
        self.dynamodb("PutItem", &json!({"TableName": table, "Item": item}));
    }

    /// The attribute of a job, as text.
    pub(crate) fn job(&self, job_id: &str) -> Value {
        let key = json!({"TableName": "jobs", "Key": {"job_id": {"S": job_id}}});
        self.dynamodb("GetItem", &key)["Item"].clone()
    }

    /// A job as the web application makes it, cut into `total` segments.
    pub(crate) fn job_in(&self, job_id: &str, status: &str, total: u32) {
        let item = json!({
            "job_id": {"S": job_id}, "mode": {"S": "sbs"}, "status": {"S": status},
            "created_at": {"N": "1700000000"}, "total_segments": {"N": total.to_string()},
        });
        self.put_item("jobs", &item);
    }

    /// Uploads a segment, which raises its event.
    pub(crate) fn upload_segment(&self, job_id: &str, index: u32, total: u32) {
        let path = format!("/in-bucket/segments/{job_id}/{index:05}_{total:05}_sbs.mp4");
        self.s3("PUT", &path, "not really a video");
    }

    /// Bodies of up to ten visible messages, which stay.
    pub(crate) fn messages(&self, queue: &str) -> Vec<Value> {
        let asked = json!({"QueueUrl": self.queue_url(queue), "MaxNumberOfMessages": 10,
            "VisibilityTimeout": 0, "MessageAttributeNames": ["All"]});
        self.sqs("ReceiveMessage", &asked)["Messages"].as_array().cloned().unwrap_or_default()
    }

    pub(crate) fn send(&self, queue: &str, body: &str, attributes: &[(&str, &str)]) {
        let attribute = |(name, value): &(&str, &str)| {
            ((*name).to_owned(), json!({"DataType": "String", "StringValue": value}))
        };
        let attributes: serde_json::Map<_, _> = attributes.iter().map(attribute).collect();
        let body = json!({"QueueUrl": self.queue_url(queue), "MessageBody": body,
            "MessageAttributes": attributes});
        self.sqs("SendMessage", &body);
    }

    /// How many messages a queue has: those that may be received and those that are hidden.
    pub(crate) fn depth(&self, queue: &str) -> (u32, u32) {
        let asked = json!({"QueueUrl": self.queue_url(queue), "AttributeNames": ["All"]});
        let found = &self.sqs("GetQueueAttributes", &asked)["Attributes"];
        let number = |name: &str| found[name].as_str().unwrap().parse().unwrap();
        (number("ApproximateNumberOfMessages"), number("ApproximateNumberOfMessagesNotVisible"))
    }

    /// How often each operation was called since [`Self::forget_calls`].
    pub(crate) fn calls(&self) -> BTreeMap<String, u32> {
        serde_json::from_str(&self.http("GET", "/calls", "none", "", "").1).unwrap()
    }

    pub(crate) fn forget_calls(&self) {
        self.http("DELETE", "/calls", "none", "", "");
    }

    pub(crate) fn s3(&self, method: &str, path: &str, body: &str) -> String {
        let (status, text) = self.http(method, path, "s3", "", body);
        assert!(status < 300, "{method} {path}: {status} {text}");
        text
    }

    fn json(&self, service: &str, target: &str, body: &Value) -> Value {
        let headers =
            format!("X-Amz-Target: {target}\r\nContent-Type: application/x-amz-json-1.0\r\n");
        let (status, text) = self.http("POST", "/", service, &headers, &body.to_string());
        assert!(status < 300, "{target}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    fn http(
        &self,
        method: &str,
        path: &str,
        service: &str,
        headers: &str,
        body: &str,
    ) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=test/20240101/eu-west-1/{service}\
             /aws4_request, SignedHeaders=host, Signature=0\r\n{headers}\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}

const CREATE: &str = "<CreateBucketConfiguration><LocationConstraint>eu-west-1\
                      </LocationConstraint></CreateBucketConfiguration>";

/// A daemon that runs until stopped.
pub(crate) struct Daemon {
    process: Child,
    log: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Daemon {
    pub(crate) fn start(cloud: &Cloud, more: &[(&str, &str)]) -> Self {
        Self::start_in(cloud, &cloud.environment(), more)
    }

    /// One in an environment of its own.
    pub(crate) fn start_in(
        cloud: &Cloud,
        environment: &BTreeMap<String, String>,
        more: &[(&str, &str)],
    ) -> Self {
        let mut command = cloud.command(environment, &[]);
        command.envs(more.iter().copied()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let stderr = BufReader::new(process.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(String::new()));
        let kept = log.clone();
        let reader = std::thread::spawn(move || {
            for line in stderr.lines() {
                let mut log = kept.lock().unwrap();
                log.push_str(&line.unwrap());
                log.push('\n');
            }
        });
        Self { process, log, reader: Some(reader) }
    }

    /// Where its health endpoints are.
    pub(crate) fn address(&self) -> String {
        self.said("health endpoints")
    }

    /// The address in the line of its log that says `what`.
    pub(crate) fn said(&self, what: &str) -> String {
        let mut found = None;
        until(what, || {
            let log = self.log.lock().unwrap();
            let line = log.lines().find(|line| line.contains(&format!("\"{what}\"")));
            let line = line.and_then(|line| serde_json::from_str::<Value>(line).ok());
            found = line.and_then(|line| line["address"].as_str().map(str::to_owned));
            found.is_some()
        });
        found.unwrap()
    }

    /// Asks for a page.
    pub(crate) fn get(&self, page: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        write!(stream, "GET {page} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Its log once it has ended by itself, which it has to do badly.
    pub(crate) fn failed(mut self) -> String {
        let ended = self.process.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        let log = self.log.lock().unwrap().clone();
        assert!(!ended.success(), "{log}");
        log
    }

    /// Ends the daemon with a signal; whether it ended well, and its log.
    pub(crate) fn stop(mut self, signal: &str) -> (bool, String) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        let ended = self.process.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        let log = self.log.lock().unwrap().clone();
        (ended.success(), log)
    }
}

/// Waits until `done`.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(400);
    while !done() {
        assert!(Instant::now() < patience, "{what} did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A key's schema: the hash, and the range where there is one.
fn keys(names: &[&str]) -> Value {
    let role = |(name, role): (&&str, &str)| json!({"AttributeName": name, "KeyType": role});
    names.iter().zip(["HASH", "RANGE"]).map(role).collect()
}

/// What `CreateTable` asks for.
fn table(name: &str, key: &[&str], attributes: &[(&str, &str)]) -> Value {
    let attribute =
        |(name, kind): &(&str, &str)| json!({"AttributeName": name, "AttributeType": kind});
    json!({
        "TableName": name, "BillingMode": "PAY_PER_REQUEST", "KeySchema": keys(key),
        "AttributeDefinitions": attributes.iter().map(attribute).collect::<Vec<_>>(),
    })
}
