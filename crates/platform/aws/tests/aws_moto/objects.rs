//! The object store's contract over S3, with notifications to SQS as deployed.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::types::{Event, NotificationConfiguration, QueueConfiguration};
use parallax_aws::{S3Objects, SqsQueue};
use parallax_conformance::{objects, operators};
use parallax_job::{Bucket, Scheme, Uri};
use parallax_ports::{Kind, ObjectStore, Queue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::moto::Moto;

async fn notified(moto: &Moto, bucket: &str) -> Arc<dyn Queue> {
    let url = moto.queue().await;
    let name = url.rsplit('/').next().unwrap();
    let arn = format!("arn:aws:sqs:eu-west-1:123456789012:{name}");
    let route = QueueConfiguration::builder()
        .queue_arn(arn)
        .events(Event::from("s3:ObjectCreated:*"))
        .build()
        .unwrap();
    let routes = NotificationConfiguration::builder().queue_configurations(route).build();
    let s3 = moto.aws.s3();
    let call = s3.put_bucket_notification_configuration().bucket(bucket);
    call.notification_configuration(routes).send().await.unwrap();
    Arc::new(SqsQueue::new(moto.aws.sqs(), url))
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_objects() {
    let moto = Moto::start().await;
    let folders = tempfile::tempdir().unwrap();
    objects::all(async || {
        let name = moto.bucket().await;
        let events = notified(&moto, &name).await;
        // What the configuration itself raised.
        let wait = Duration::ZERO;
        for message in events.receive(10, wait, Duration::from_secs(60)).await.unwrap() {
            events.delete(&message.receipt).await.unwrap();
        }
        objects::Setup {
            store: Arc::new(S3Objects::new(moto.aws.s3())),
            bucket: Bucket::Cloud { scheme: Scheme::S3, name },
            events: Some(events),
            scratch: tempfile::tempdir_in(&folders).unwrap().keep(),
            notes: true,
        }
    })
    .await;
}

#[tokio::test]
async fn s3_objects_are_listed() {
    let moto = Moto::start().await;
    let store = Arc::new(S3Objects::new(moto.aws.s3()));
    let setup = objects::Setup {
        store: store.clone(),
        bucket: Bucket::Cloud { scheme: Scheme::S3, name: moto.bucket().await },
        events: None,
        scratch: std::path::PathBuf::new(),
        notes: true,
    };
    operators::listing(&*store, &setup).await;
}

/// A proxy that passes everything but the second part of an upload.
struct Held {
    url: String,
    /// The part came.
    begun: Arc<Notify>,
}

impl Held {
    async fn before(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let held = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            begun: Arc::default(),
        };
        let (server, begun) = (url.strip_prefix("http://").unwrap().to_owned(), held.begun.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server.clone(), begun.clone()));
            }
        });
        held
    }
}

/// Passes one connection's bytes until the part comes, as the first of its request's lines says.
async fn pass(client: TcpStream, server: String, begun: Arc<Notify>) {
    let server = TcpStream::connect(&server).await.unwrap();
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let mut some = vec![0; 1 << 16];
    while let Ok(n @ 1..) = from_client.read(&mut some).await {
        if some[..n].windows(12).any(|word| word == b"partNumber=2") {
            begun.notify_one();
            return std::future::pending().await;
        }
        if to_server.write_all(&some[..n]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_files_go_up_in_parts() {
    let moto = Moto::start().await;
    let folder = tempfile::tempdir().unwrap();
    let store = S3Objects::new(moto.aws.s3()).with_part_size(5 << 20);
    let bucket = moto.bucket().await;
    let uri: Uri = format!("s3://{bucket}/jobs/j/segments/0.mp4").parse().unwrap();
    let bytes: Vec<u8> = (0..(23 << 20) + 17u32).map(|i| (i >> 7) as u8 ^ i as u8).collect();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    std::fs::write(&from, &bytes).unwrap();
    store.upload(&from, &uri).await.unwrap();
    assert_eq!(store.head(&uri).await.unwrap().unwrap().size, bytes.len() as u64);
    store.download(&uri, &to).await.unwrap();
    assert!(std::fs::read(&to).unwrap() == bytes);
    let s3 = moto.aws.s3();
    let left = s3.list_multipart_uploads().bucket(&bucket).send().await.unwrap();
    assert_eq!(left.uploads().len(), 0);
    // An upload that fails, and one that is dropped, leave no parts.
    let nowhere: Uri = "s3://no-such-bucket/x".parse().unwrap();
    assert_eq!(store.upload(&from, &nowhere).await.unwrap_err().kind(), Kind::NotFound);
    let open = async || {
        let list = s3.list_multipart_uploads().bucket(&bucket).send().await.unwrap();
        list.uploads().len()
    };
    let held = Held::before(&moto.url).await;
    let slow = S3Objects::new(Moto::clients(&held.url).await.s3()).with_part_size(5 << 20);
    let begun = async {
        held.begun.notified().await;
        assert_eq!(open().await, 1);
    };
    tokio::select! {
        done = slow.upload(&from, &uri) => panic!("a part was held: {done:?}"),
        () = begun => {}
    }
    while open().await > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_presigned_address_names_the_object() {
    let moto = Moto::start().await;
    let store = S3Objects::new(moto.aws.s3());
    let uri: Uri = "s3://bucket-x/jobs/j/final.mp4".parse().unwrap();
    let address = store.presign(&uri, Duration::from_secs(600)).await.unwrap();
    assert!(address.starts_with(&format!("{}/bucket-x/jobs/j/final.mp4?", moto.url)), "{address}");
    assert!(address.contains("X-Amz-Expires=600"), "{address}");
    let week = Duration::from_secs(8 * 24 * 3600);
    assert_eq!(store.presign(&uri, week).await.unwrap_err().kind(), Kind::Rejected);
    let elsewhere: Uri = "gs://bucket-x/y".parse().unwrap();
    assert_eq!(store.head(&elsewhere).await.unwrap_err().kind(), Kind::Rejected);
    store.check_bucket("bucket-x").await.unwrap_err();
}
