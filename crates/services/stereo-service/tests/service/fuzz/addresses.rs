//! Addresses that requests name, and the places that operators allow.

use std::path::PathBuf;
use std::sync::Arc;

use parallax_conformance::memory::MemoryObjects;
use parallax_fuzz::Cases;
use parallax_job::Uri;
use parallax_ports::{ObjectStore, SystemClock};
use parallax_serving::net::{Fetcher, Networks, Origin, Outside};
use parallax_serving::{Access, Address, Prefix, Storage, Stores};

const CASES: u64 = 20_000;

const WORDS: [&str; 25] = [
    "s3://",
    "gs://",
    "file://",
    "https://",
    "http://",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "localhost",
    "127.1",
    "%2f",
    "%2e%2e",
    "/../",
    "@",
    ":443",
    "?x=",
    "#",
    "cdn.example",
    "input",
    "output/jobs",
    "data:",
    ";base64,",
    "image/png",
];

/// Most bytes of an input within a request.
const INLINE: u64 = 64;

fn storage(outside: Outside) -> Storage {
    let store: Arc<dyn ObjectStore> =
        Arc::new(MemoryObjects::new(Arc::new(SystemClock), Vec::new()));
    let stores = Stores {
        s3: Some(store.clone()),
        gs: Some(store.clone()),
        web: Some(Fetcher::new(outside).unwrap()),
        files: vec![(PathBuf::from("/srv/video"), store)],
        ..Stores::default()
    };
    let place = |text: &str| vec![text.parse().unwrap()];
    let access = Access { read: place("s3://input"), write: place("s3://output/jobs") };
    Storage::new(stores, access, 1 << 20).with_inline(INLINE)
}

#[test]
fn fuzz_addresses_of_requests() {
    let outside = Outside::new(vec!["https://cdn.example".parse().unwrap()], Networks::default());
    let storage = storage(outside);
    let corpus = [
        "s3://input/segments/job-1/00000_00002_sbs.mp4",
        "s3://output/jobs/job-1/segments/0.mp4",
        "file:///srv/video/in/a.mp4",
        "https://cdn.example/a/b.mp4?signature=x#y",
        "https://user:password@cdn.example:443/",
        "data:video/mp4;base64,AAAAHGZ0eXBpc29tAAACAGlzb20=",
    ];
    let mut taken = [0u64; 4];
    Cases::new(CASES, &corpus, &WORDS).run_text(|text| {
        match storage.input(text, "input_uri", None) {
            Ok(Address::Web(url)) => {
                taken[0] += 1;
                let host = url.host_str().unwrap().trim_end_matches('.');
                assert_eq!((url.scheme(), host), ("https", "cdn.example"), "{text:?}");
                assert_eq!((url.port_or_known_default(), url.username()), (Some(443), ""));
                assert!(url.password().is_none(), "{text:?}");
            }
            Ok(Address::Object(uri)) => {
                taken[1] += 1;
                within(&uri, "input", "");
            }
            Ok(Address::Inline(inline)) => {
                taken[3] += 1;
                assert!((1..=INLINE).contains(&(inline.bytes().len() as u64)), "{text:?}");
            }
            Err(failure) => {
                assert!((400..500).contains(&failure.kind.status()), "{failure}");
                assert_eq!(failure.field.as_deref(), Some("input_uri"));
                assert!(failure.message.len() < 8000, "{failure}");
            }
        }
        if let Ok(uri) = storage.output(text, "output_uri", None) {
            taken[2] += 1;
            within(&uri, "output", "jobs/");
        }
    });
    assert!(taken.iter().all(|count| *count > CASES / 1000), "{taken:?}");
}

fn within(uri: &Uri, own: &str, prefix: &str) {
    match uri {
        Uri::Object { bucket, key, .. } => {
            assert!(uri.to_string().starts_with("s3://"), "{uri}");
            assert_eq!(bucket, own);
            assert!(key.starts_with(prefix) && !key.contains(['%', '*', '?', '#', '\\']), "{key}");
            assert!(key.split('/').all(|part| !["", ".", ".."].contains(&part)), "{key}");
        }
        Uri::File(path) => {
            assert!(path.starts_with("/srv/video"), "{path:?}");
            assert!(path.components().all(|part| part != std::path::Component::ParentDir));
        }
    }
}

#[test]
fn fuzz_places_that_operators_allow() {
    let corpus = [
        "s3://bucket/prefix/more",
        "gs://*",
        "https://*.store.example:8443",
        "http://127.0.0.1:9000",
        "https://[2001:db8::1]",
    ];
    let mut taken = [0u64; 2];
    Cases::new(CASES, &corpus, &WORDS).run_text(|text| {
        if let Ok(prefix) = text.parse::<Prefix>() {
            taken[0] += 1;
            assert_eq!(prefix.to_string().parse::<Prefix>().unwrap(), prefix, "{text:?}");
        }
        if let Ok(origin) = text.parse::<Origin>() {
            taken[1] += 1;
            assert_eq!(origin.to_string().parse::<Origin>().unwrap(), origin, "{text:?}");
        }
    });
    assert!(taken.iter().all(|count| *count > CASES / 1000), "{taken:?}");
}
