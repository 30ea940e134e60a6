//! A hub of models on loopback, in the addresses and headers of the public one, with faults.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// The token that the hub wants; nobody else may ever see it.
pub const TOKEN: &str = "hf_canary_5d1a09c7";
/// The commit behind the hub's `main`.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Something to go wrong once, at the next transfer of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection breaks after so many bytes.
    CutAfter(usize),
    /// One byte is another.
    Flip,
    /// More bytes than announced.
    Longer,
    /// The whole file, whatever range was asked for.
    IgnoreRange,
    /// An answer with this status, and with `Retry-After: 0`.
    Status(u16),
    /// Nothing more after so many bytes, until [`Hub::release`].
    HangAfter(usize),
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `HEAD` or `GET`.
    pub method: String,
    /// Path of the address.
    pub path: String,
    /// `Range`.
    pub range: Option<String>,
    /// `Authorization`.
    pub authorization: Option<String>,
    /// Whether it came to the host that serves the bytes.
    pub at_store: bool,
}

#[derive(Debug, Default)]
struct Shared {
    /// By `owner/name/path`.
    files: BTreeMap<String, Bytes>,
    faults: BTreeMap<String, VecDeque<Fault>>,
    /// Instead of the right `ETag`.
    tags: BTreeMap<String, String>,
    asked: Vec<Asked>,
    /// Port of the host that serves the bytes.
    store: u16,
    open: bool,
    /// Only bytes, at `/mirror/owner/name/commit/path`.
    mirrors: bool,
    released: Arc<Notify>,
}

/// The hub, and the host that it redirects to for the bytes of large files.
#[derive(Debug)]
pub struct Hub {
    shared: Arc<Mutex<Shared>>,
    address: String,
    _runtime: Runtime,
}

impl Hub {
    /// Starts a hub that wants [`TOKEN`] and has these files, named `owner/name/path`.
    pub fn start(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let files = files.into_iter().map(|(name, bytes)| (name, bytes.into())).collect();
        let shared = Arc::new(Mutex::new(Shared { files, ..Shared::default() }));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let serve = |at_store: bool| {
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
            let port = listener.local_addr().unwrap().port();
            let router = Router::new().fallback(answer).with_state((Arc::clone(&shared), at_store));
            runtime.spawn(async move { axum::serve(listener, router).await });
            port
        };
        let port = serve(false);
        shared.lock().unwrap().store = serve(true);
        Self { shared, address: format!("http://127.0.0.1:{port}"), _runtime: runtime }
    }

    /// For `HF_ENDPOINT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What goes wrong with `file`, transfer by transfer.
    pub fn fail(&self, file: &str, faults: impl IntoIterator<Item = Fault>) {
        self.shared().faults.entry(file.to_owned()).or_default().extend(faults);
    }

    /// A transfer that hangs goes on; the next one that would, where none does yet.
    pub fn release(&self) {
        self.shared().released.notify_one();
    }

    /// Announces another digest than the right one.
    pub fn announce(&self, file: &str, tag: &str) {
        self.shared().tags.insert(file.to_owned(), tag.to_owned());
    }

    /// Has other bytes for `file` from now on, which are announced as right.
    pub fn change(&self, file: &str, bytes: Vec<u8>) {
        self.shared().files.insert(file.to_owned(), bytes.into());
    }

    /// Serves copies as a bucket does, which knows nothing of them, and is asked for nothing else.
    pub fn make_mirror(&self) -> String {
        self.shared().mirrors = true;
        format!("{}/mirror", self.address)
    }

    /// Asks nobody for a token.
    pub fn make_public(&self) {
        self.shared().open = true;
    }

    /// Everything that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared().asked.clone()
    }

    /// Transfers of `file`, hub and store together counted once: those from the place of the bytes.
    pub fn transfers(&self, file: &str) -> Vec<Asked> {
        let large = file.ends_with(".safetensors");
        let of_file = |asked: &Asked| {
            asked.method == "GET"
                && asked.at_store == large
                && split(&asked.path).is_some_and(|(name, _)| name == file)
        };
        self.asked().into_iter().filter(of_file).collect()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }
}

/// `/owner/name/resolve/revision/path` to `owner/name/path` and the revision.
fn split(path: &str) -> Option<(String, String)> {
    let (repository, rest) = path.trim_start_matches('/').split_once("/resolve/")?;
    let (revision, file) = rest.split_once('/')?;
    Some((format!("{repository}/{file}"), revision.to_owned()))
}

async fn answer(
    State((shared, at_store)): State<(Arc<Mutex<Shared>>, bool)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let header = |name: &str| headers.get(name).map(|v| v.to_str().unwrap().to_owned());
    let asked = Asked {
        method: method.to_string(),
        path: uri.path().to_owned(),
        range: header("range"),
        authorization: header("authorization"),
        at_store,
    };
    let mut shared = shared.lock().unwrap();
    shared.asked.push(asked.clone());
    let refuse = |status: u16, code: &str, message: String| {
        let status = StatusCode::from_u16(status).unwrap();
        (status, [("x-error-code", code.to_owned()), ("x-error-message", message)]).into_response()
    };
    if shared.mirrors && !at_store {
        let file =
            asked.path.strip_prefix("/mirror/").map(|path| path.replace(&format!("{COMMIT}/"), ""));
        return match file.and_then(|file| shared.files.get(&file).cloned()) {
            Some(bytes) => {
                transfer(bytes, asked.range.as_deref(), None, Arc::clone(&shared.released))
            }
            None => StatusCode::NOT_FOUND.into_response(),
        };
    }
    let Some((name, revision)) = split(&asked.path) else {
        return refuse(404, "RepoNotFound", "Repository not found".into());
    };
    if !at_store {
        match &asked.authorization {
            _ if shared.open => {}
            None => return refuse(401, "GatedRepo", "Access to this model is restricted".into()),
            Some(value) if *value == format!("Bearer {TOKEN}") => {}
            // A careless hub repeats what it was told.
            Some(value) => return refuse(403, "GatedRepo", format!("{value} is not allowed")),
        }
        if revision != "main" && revision != COMMIT {
            return refuse(404, "RevisionNotFound", "Invalid rev id".into());
        }
    }
    let Some(bytes) = shared.files.get(&name).cloned() else {
        return refuse(404, "EntryNotFound", "Entry not found".into());
    };
    let large = name.ends_with(".safetensors");
    let right = if large { sha256(&bytes) } else { git_blob(&bytes) };
    let tag = format!("\"{}\"", shared.tags.get(&name).unwrap_or(&right));
    let fault = (method == Method::GET && at_store == large)
        .then(|| shared.faults.get_mut(&name).and_then(VecDeque::pop_front))
        .flatten();
    if large && !at_store {
        let location = format!("http://127.0.0.1:{}{}?signature=s3cr3t", shared.store, asked.path);
        let size = bytes.len().to_string();
        let commit = COMMIT.to_owned();
        return (
            StatusCode::FOUND,
            [
                ("location", location),
                ("x-repo-commit", commit),
                ("x-linked-etag", tag),
                ("x-linked-size", size),
            ],
        )
            .into_response();
    }
    let headers = [("etag", tag), ("x-repo-commit", COMMIT.to_owned())];
    (headers, transfer(bytes, asked.range.as_deref(), fault, Arc::clone(&shared.released)))
        .into_response()
}

/// The bytes, or the part of them that was asked for.
fn transfer(
    bytes: Bytes,
    range: Option<&str>,
    fault: Option<Fault>,
    released: Arc<Notify>,
) -> Response {
    let total = bytes.len();
    let from =
        range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let from: Option<usize> = from.filter(|_| fault != Some(Fault::IgnoreRange));
    let mut part = bytes.slice(from.unwrap_or(0)..).to_vec();
    let whole = part.len();
    let mut held = Vec::new();
    match fault {
        Some(Fault::Status(status)) => {
            let status = StatusCode::from_u16(status).unwrap();
            return (status, [("retry-after", "0")]).into_response();
        }
        Some(Fault::CutAfter(n)) => part.truncate(n),
        Some(Fault::HangAfter(n)) => held = part.split_off(n.min(whole)),
        Some(Fault::Flip) => part[0] ^= 1,
        Some(Fault::Longer) => part.push(0),
        Some(Fault::IgnoreRange) | None => {}
    }
    let body = match fault {
        Some(Fault::CutAfter(_)) => {
            let broken = stream::once(async {
                // What was said before is sent first.
                tokio::time::sleep(Duration::from_millis(100)).await;
                Err(std::io::Error::other("cut"))
            });
            Body::from_stream(stream::iter([Ok(Bytes::from(part))]).chain(broken))
        }
        Some(Fault::HangAfter(_)) => {
            let said = stream::iter([Ok::<_, std::io::Error>(Bytes::from(part))]);
            let rest = stream::once(async move {
                released.notified().await;
                Ok(Bytes::from(held))
            });
            Body::from_stream(said.chain(rest))
        }
        _ => Body::from(part),
    };
    let mut response = match from {
        Some(from) => {
            let range = format!("bytes {from}-{}/{total}", total - 1);
            (StatusCode::PARTIAL_CONTENT, [("content-range", range)], body).into_response()
        }
        None => body.into_response(),
    };
    if matches!(fault, Some(Fault::CutAfter(_) | Fault::HangAfter(_))) {
        response.headers_mut().insert("content-length", whole.into());
    }
    response
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// As git names it: what the hub sends for files that are not large.
fn git_blob(bytes: &[u8]) -> String {
    let mut hash = Sha1::new_with_prefix(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    hex(&hash.finalize())
}
