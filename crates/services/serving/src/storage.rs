//! Inputs in and outputs out, for whatever store a request names and may use.
//!
//! Addresses are checked when the request is read, before anything is admitted; bytes stream
//! through files. Every write appears whole or not at all: that is the object store port's promise.

mod address;
mod credentials;
mod inline;
mod link;

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parallax_job::{Scheme, Uri};
use parallax_ports::{ObjectMeta, ObjectStore};
use tokio_util::sync::CancellationToken;

pub use self::address::Address;
pub use self::credentials::Credentials;
pub use self::inline::Inline;

use crate::access::{Access, plain_key};
use crate::net::Fetcher;
use crate::{Failure, FailureKind};

/// The stores that the server itself has access to.
#[derive(Debug, Clone, Default)]
pub struct Stores {
    /// `s3://`.
    pub s3: Option<Arc<dyn ObjectStore>>,
    /// `gs://`.
    pub gs: Option<Arc<dyn ObjectStore>>,
    /// `https://` and `http://`, for inputs only.
    pub web: Option<Fetcher>,
    /// `file://`, each store below its folder (absolute, without links).
    pub files: Vec<(PathBuf, Arc<dyn ObjectStore>)>,
    /// Opens stores with a request's own credentials.
    pub connect: Option<Arc<dyn Connect>>,
}

/// Opens stores with a request's own credentials.
#[async_trait]
pub trait Connect: Debug + Send + Sync {
    /// Whether the address of a store may be used at all. Contacts nobody.
    ///
    /// # Errors
    /// `Forbidden` or `Invalid`, without a field.
    fn check(&self, endpoint_url: &str) -> Result<(), Failure>;

    /// The store. It must reach no address that a request may not reach.
    ///
    /// # Errors
    /// `Forbidden` or `Invalid`, without a field.
    async fn connect(&self, credentials: &Credentials) -> Result<Arc<dyn ObjectStore>, Failure>;
}

/// The stores, and what requests may do with them.
#[derive(Debug, Clone)]
pub struct Storage {
    stores: Stores,
    access: Access,
    /// Most bytes of one input.
    limit: u64,
    /// Most bytes of one that comes with its request.
    inline: u64,
}

impl Storage {
    /// Storage over `stores`; inputs larger than `limit` bytes are refused.
    pub fn new(stores: Stores, access: Access, limit: u64) -> Self {
        Self { stores, access, limit, inline: 0 }
    }

    /// Takes inputs that come with their requests too, of at most `limit` bytes.
    #[must_use]
    pub fn with_inline(mut self, limit: u64) -> Self {
        self.inline = limit;
        self
    }

    /// Reads and checks the address of an input.
    ///
    /// # Errors
    /// `Invalid` or `Forbidden`, naming `field`.
    pub fn input(
        &self,
        text: &str,
        field: &str,
        own: Option<&Credentials>,
    ) -> Result<Address, Failure> {
        if text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:")) {
            let inline = Inline::parse(text, self.inline.min(self.limit));
            return inline.map(Address::Inline).map_err(|failure| failure.of(field));
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            let Some(web) = self.stores.web.as_ref() else {
                let message = "URLs are not allowed here";
                return Err(Failure::new(FailureKind::Forbidden, message).of(field));
            };
            let url = web.outside().check(text).map_err(|failure| failure.of(field))?;
            return Ok(Address::Web(url));
        }
        self.object(text, field, own, false).map(Address::Object)
    }

    /// Reads and checks the address of an output.
    ///
    /// # Errors
    /// `Invalid` or `Forbidden`, naming `field`.
    pub fn output(
        &self,
        text: &str,
        field: &str,
        own: Option<&Credentials>,
    ) -> Result<Uri, Failure> {
        self.object(text, field, own, true)
    }

    fn object(
        &self,
        text: &str,
        field: &str,
        own: Option<&Credentials>,
        write: bool,
    ) -> Result<Uri, Failure> {
        let uri: Uri = text.parse().map_err(|error| {
            let known = ["s3://", "gs://", "file://"].iter().any(|scheme| text.starts_with(scheme));
            if known && !text.contains(['@', '?']) {
                return Failure::field(field, error);
            }
            // A URL may hold a password or a signature.
            Failure::field(field, "not an address; allowed are s3://, gs:// and file:///")
        })?;
        plain_key(&uri, field)?;
        if let Some(own) = own {
            own.validate()?;
        }
        match (&uri, own) {
            (Uri::Object { scheme: Scheme::S3, .. }, Some(own)) => {
                // The bucket is the caller's own: only the address of its store is ours to judge.
                let Some(connect) = &self.stores.connect else {
                    return Err(no_own_stores());
                };
                let checked = connect.check(&own.endpoint_url);
                checked.map_err(|failure| failure.of("storage.endpoint_url"))?;
            }
            (Uri::Object { .. }, _) => self.access.check(&uri, field, write)?,
            (Uri::File(_), _) => {}
        }
        self.shared(&uri, own.is_some()).ok_or_else(|| {
            let why = match &uri {
                Uri::File(_) => "the path is below none of the folders that may be used",
                Uri::Object { .. } => "there is no store of this scheme here",
            };
            Failure::new(FailureKind::Forbidden, why).of(field)
        })?;
        Ok(uri)
    }

    /// The server's own store for an address; `Some(None)` when the request's credentials open
    /// one.
    #[allow(clippy::option_option, reason = "no store and not yet a store are different answers")]
    fn shared(&self, uri: &Uri, own: bool) -> Option<Option<&Arc<dyn ObjectStore>>> {
        match uri {
            Uri::Object { scheme: Scheme::S3, .. } if own => Some(None),
            Uri::Object { scheme: Scheme::S3, .. } => self.stores.s3.as_ref().map(Some),
            Uri::Object { scheme: Scheme::Gs, .. } => self.stores.gs.as_ref().map(Some),
            Uri::File(path) => {
                let files = self.stores.files.iter();
                let holds = |root: &Path| path.starts_with(root) && path != root;
                files.filter(|(root, _)| holds(root)).map(|(_, store)| Some(store)).next_back()
            }
        }
    }

    async fn store(
        &self,
        uri: &Uri,
        field: &str,
        own: Option<&Credentials>,
    ) -> Result<Arc<dyn ObjectStore>, Failure> {
        match (self.shared(uri, own.is_some()), own, &self.stores.connect) {
            (Some(Some(store)), _, _) => Ok(store.clone()),
            (Some(None), Some(own), Some(connect)) => {
                connect.connect(own).await.map_err(|failure| failure.of("storage"))
            }
            _ => Err(no_store().of(field)),
        }
    }

    /// Looks at an object.
    ///
    /// # Errors
    /// As the store says, naming `field`.
    pub async fn head(
        &self,
        uri: &Uri,
        field: &str,
        own: Option<&Credentials>,
    ) -> Result<Option<ObjectMeta>, Failure> {
        let store = self.store(uri, field, own).await?;
        store.head(uri).await.map_err(|error| Failure::of_store(&error, field))
    }

    /// Streams an input into a new file and returns its size in bytes.
    ///
    /// # Errors
    /// `NotFound`, `TooLarge`, `Cancelled` or as the store says, naming `field`.
    pub async fn fetch(
        &self,
        from: &Address,
        to: &Path,
        field: &str,
        own: Option<&Credentials>,
        cancel: &CancellationToken,
    ) -> Result<u64, Failure> {
        let uri = match from {
            Address::Object(uri) => uri,
            Address::Inline(inline) => {
                let written = tokio::fs::write(to, inline.bytes()).await;
                written.map_err(|error| {
                    let message = "there is no room for temporary files";
                    Failure::new(FailureKind::Unavailable, message).with_detail(error.to_string())
                })?;
                return Ok(inline.bytes().len() as u64);
            }
            Address::Web(url) => {
                let Some(web) = &self.stores.web else { return Err(no_store().of(field)) };
                let fetch = web.fetch(url, to, self.limit);
                let fetched = cancel.run_until_cancelled(fetch).await;
                let fetched = fetched.unwrap_or_else(|| Err(Failure::cancelled()));
                return fetched.map_err(|failure| failure.of(field));
            }
        };
        let store = self.store(uri, field, own).await?;
        let fetch = async {
            let found = store.head(uri).await.map_err(|error| Failure::of_store(&error, field))?;
            let Some(meta) = found else {
                let message = format!("{uri}: there is no such object");
                return Err(Failure::new(FailureKind::NotFound, message).of(field));
            };
            if meta.size > self.limit {
                let message = format!("{} bytes; {}", meta.size, self.too_large());
                return Err(Failure::new(FailureKind::TooLarge, message).of(field));
            }
            // The store may have lied, or hold another object by now.
            let large = || Failure::new(FailureKind::TooLarge, self.too_large()).of(field);
            tokio::select! {
                biased;
                done = store.download(uri, to) => {
                    done.map_err(|error| Failure::of_store(&error, field))?;
                }
                () = outgrows(to, self.limit) => return Err(large()),
            }
            match size_of(to).await {
                Some(size) if size <= self.limit => Ok(size),
                Some(_) => Err(large()),
                None => Err(Failure::internal("a downloaded file is gone")),
            }
        };
        cancel.run_until_cancelled(fetch).await.unwrap_or_else(|| Err(Failure::cancelled()))
    }

    fn too_large(&self) -> String {
        format!("at most {} bytes are allowed", self.limit)
    }

    /// What was noted when an object was written; `None` also where the store keeps no notes.
    ///
    /// # Errors
    /// As the store says, naming `field`.
    pub async fn note(
        &self,
        uri: &Uri,
        field: &str,
        own: Option<&Credentials>,
    ) -> Result<Option<String>, Failure> {
        let store = self.store(uri, field, own).await?;
        store.note(uri).await.map_err(|error| Failure::of_store(&error, field))
    }

    /// Streams a file to where an output belongs, with a note where there is one, and checks that
    /// it is there, whole.
    ///
    /// # Errors
    /// `Cancelled` or as the store says, naming `field`.
    pub async fn put(
        &self,
        (from, note): (&Path, Option<&str>),
        to: &Uri,
        field: &str,
        own: Option<&Credentials>,
        cancel: &CancellationToken,
    ) -> Result<ObjectMeta, Failure> {
        let store = self.store(to, field, own).await?;
        let put = async {
            let told = |error: &parallax_ports::Error| Failure::of_store(error, field);
            let size = tokio::fs::metadata(from).await.map(|meta| meta.len());
            let size =
                size.map_err(|error| Failure::internal(format!("look at a result: {error}")))?;
            let uploaded = match note {
                Some(note) => store.upload_noted(from, to, note).await,
                None => store.upload(from, to).await,
            };
            uploaded.map_err(|error| told(&error))?;
            let written = store.head(to).await.map_err(|error| told(&error))?;
            match written {
                Some(meta) if meta.size == size => Ok(meta),
                other => {
                    let found =
                        other.map_or("nothing".to_owned(), |meta| format!("{} bytes", meta.size));
                    let detail = format!("{to}: wrote {size} bytes and found {found}");
                    Err(Failure::internal(detail))
                }
            }
        };
        cancel.run_until_cancelled(put).await.unwrap_or_else(|| Err(Failure::cancelled()))
    }
}

/// Between two looks at a file that grows.
const LOOK: Duration = Duration::from_millis(100);

/// Returns once a file has more than `limit` bytes.
async fn outgrows(file: &Path, limit: u64) {
    while size_of(file).await.is_none_or(|size| size <= limit) {
        tokio::time::sleep(LOOK).await;
    }
}

async fn size_of(file: &Path) -> Option<u64> {
    tokio::fs::metadata(file).await.ok().map(|meta| meta.len())
}

fn no_store() -> Failure {
    Failure::new(FailureKind::Forbidden, "there is no store for it")
}

fn no_own_stores() -> Failure {
    let message = "stores of a request's own are not allowed here";
    Failure::new(FailureKind::Forbidden, message).of("storage")
}

#[cfg(test)]
mod tests {
    use super::*;
    use parallax_job::Timestamp;
    use parallax_ports::Result as PortResult;
    use parallax_secret::Secret;
    use tokio::io::AsyncWriteExt;

    fn credentials() -> Credentials {
        Credentials {
            endpoint_url: "https://store.example".to_owned(),
            access_key_id: Secret::new("canary"),
            secret_access_key: Secret::new("canary"),
            session_token: Some(Secret::new("canary")),
            region: "auto".to_owned(),
        }
    }

    #[test]
    fn credentials_that_cannot_be_sent_are_named_and_not_shown() {
        assert_eq!(credentials().validate(), Ok(()));
        let long = "canary".repeat(2000);
        for bad in ["", "canary\n", "canary canary", "canaryé", "\u{7f}canary", &long] {
            let bad = Secret::new(bad);
            for (field, wrong) in [
                (
                    "storage.access_key_id",
                    Credentials { access_key_id: bad.clone(), ..credentials() },
                ),
                (
                    "storage.secret_access_key",
                    Credentials { secret_access_key: bad.clone(), ..credentials() },
                ),
                (
                    "storage.session_token",
                    Credentials { session_token: Some(bad.clone()), ..credentials() },
                ),
            ] {
                let failure = wrong.validate().unwrap_err();
                assert_eq!(failure.field.as_deref(), Some(field));
                assert!(!failure.message.contains("canary"), "{failure}");
            }
        }
        for region in ["", "eu west", "x/y", "x\n", &long] {
            let wrong = Credentials { region: region.to_owned(), ..credentials() };
            let failure = wrong.validate().unwrap_err();
            assert_eq!(failure.field.as_deref(), Some("storage.region"), "{region:?}");
        }
    }

    #[test]
    fn other_credentials_are_another_identity() {
        let identity = credentials().identity();
        assert_eq!(identity, credentials().identity());
        let other = || Secret::new("other");
        for changed in [
            Credentials { endpoint_url: "https://other.example".to_owned(), ..credentials() },
            Credentials { access_key_id: other(), ..credentials() },
            Credentials { secret_access_key: other(), ..credentials() },
            Credentials { session_token: Some(other()), ..credentials() },
            Credentials { session_token: None, ..credentials() },
            Credentials { region: "other".to_owned(), ..credentials() },
        ] {
            assert_ne!(identity, changed.identity(), "{changed:?}");
        }
        assert!(!identity.to_string().contains("canary"));
    }

    /// Says one byte and sends many.
    #[derive(Debug)]
    struct Liar {
        endless: bool,
    }

    #[async_trait]
    impl ObjectStore for Liar {
        async fn link(&self, _: &Uri, _: std::time::Duration) -> PortResult<Option<String>> {
            Ok(None)
        }

        async fn head(&self, _: &Uri) -> PortResult<Option<ObjectMeta>> {
            Ok(Some(ObjectMeta { size: 1, modified: Timestamp(0) }))
        }

        async fn read(&self, _: &Uri, _: u64) -> PortResult<Vec<u8>> {
            Ok(Vec::new())
        }

        async fn write(&self, _: &Uri, _: &[u8]) -> PortResult<()> {
            Ok(())
        }

        async fn download(&self, _: &Uri, to: &Path) -> PortResult<()> {
            let mut file = tokio::fs::File::create(to).await.unwrap();
            loop {
                file.write_all(&[0; 4096]).await.unwrap();
                file.flush().await.unwrap();
                if !self.endless {
                    return Ok(());
                }
            }
        }

        async fn upload(&self, _: &Path, _: &Uri) -> PortResult<()> {
            Ok(())
        }

        async fn write_noted(&self, _: &Uri, _: &[u8], _: &str) -> PortResult<()> {
            Ok(())
        }

        async fn upload_noted(&self, _: &Path, _: &Uri, _: &str) -> PortResult<()> {
            Ok(())
        }

        async fn note(&self, _: &Uri) -> PortResult<Option<String>> {
            Ok(None)
        }

        async fn copy(&self, _: &Uri, _: &Uri) -> PortResult<bool> {
            Ok(false)
        }

        async fn delete(&self, _: &Uri) -> PortResult<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_store_that_sends_more_than_it_said_is_stopped() {
        for endless in [false, true] {
            let stores = Stores { s3: Some(Arc::new(Liar { endless })), ..Stores::default() };
            let access = Access { read: vec!["s3://input".parse().unwrap()], write: Vec::new() };
            let storage = Storage::new(stores, access, 1000);
            let folder = tempfile::tempdir().unwrap();
            let from = storage.input("s3://input/a.mp4", "input_uri", None).unwrap();
            let to = folder.path().join("a.mp4");
            let cancel = CancellationToken::new();
            let fetched = storage.fetch(&from, &to, "input_uri", None, &cancel).await;
            assert_eq!(fetched.unwrap_err().kind, FailureKind::TooLarge, "endless: {endless}");
        }
    }
}
