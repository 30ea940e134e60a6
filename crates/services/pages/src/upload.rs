//! Films as they come in: straight to disk, within bounds, looked at before they are kept.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use futures::StreamExt;
use parallax_web::Refusal;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::films::{Film, Films};
use crate::folder::{Folder, INCOMING, now};
use crate::names::{id, safe};
use crate::viewer::Viewer;

/// Uploads at once.
const AT_ONCE: usize = 4;
/// A sender who sends nothing for so long is not waited for.
const STALL: Duration = Duration::from_secs(30);
/// Bytes between two looks at the disk.
const LOOK: u64 = 64 << 20;

/// Takes films in.
#[derive(Debug)]
pub(crate) struct Uploads {
    pub(crate) folder: Arc<Folder>,
    pub(crate) films: Arc<Films>,
    pub(crate) viewer: Arc<dyn Viewer>,
    /// Bytes of the largest film.
    pub(crate) largest: u64,
    places: Semaphore,
}

impl Uploads {
    pub(crate) fn new(
        folder: Arc<Folder>,
        films: Arc<Films>,
        viewer: Arc<dyn Viewer>,
        largest: u64,
    ) -> Self {
        Self { folder, films, viewer, largest, places: Semaphore::new(AT_ONCE) }
    }

    /// Writes `body` to a file called `name`, or what is safe of that, and keeps it if it can be converted.
    ///
    /// # Errors
    /// 413 and 507 before anything is read where the length that is announced is too much; 408, 413, 422, 429
    /// and 507. Nothing is left then, nor when the sender leaves.
    pub(crate) async fn receive(
        &self,
        name: &str,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Film, Refusal> {
        let refused = Refusal::new;
        let name = safe(name).ok_or_else(|| {
            Refusal::unusable(
                "the name: films and pictures have one with an ending, as in clip.mp4",
            )
        })?;
        let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        let announced = announced.and_then(|length| length.parse::<u64>().ok());
        self.fits(announced.unwrap_or(0), 0)?;
        let _place = self.places.try_acquire().map_err(|_| {
            refused(StatusCode::TOO_MANY_REQUESTS, "other films are still coming in".to_owned())
        })?;
        let incoming = tempfile::Builder::new().prefix(INCOMING).tempdir_in(self.folder.films())?;
        let path = incoming.path().join(&name);
        let bytes = self.write(&path, body).await?;
        if announced.is_some_and(|announced| announced != bytes) {
            let why = "the film is not as long as was announced".to_owned();
            return Err(refused(StatusCode::BAD_REQUEST, why));
        }
        let (viewer, cancel) = (self.viewer.clone(), CancellationToken::new());
        let _left = cancel.clone().drop_guard();
        let seen = tokio::task::spawn_blocking(move || viewer.describe(&path, &cancel)).await;
        let seen = seen.map_err(|error| Refusal::unusable(error.to_string()))?;
        // People know the film by its name, not by where it lies for a moment.
        let shown = incoming.path().display().to_string() + "/";
        let description =
            seen.map_err(|error| Refusal::unusable(error.to_string().replace(&shown, "")))?;
        let film = Film { id: id(), name, bytes, description, added: now() };
        let film = self.films.add(incoming.path(), film)?;
        // It has another name now.
        let _ = incoming.keep();
        Ok(film)
    }

    async fn write(&self, path: &Path, body: Body) -> Result<u64, Refusal> {
        let mut file = tokio::fs::File::create_new(path).await?;
        let mut chunks = body.into_data_stream();
        let (mut bytes, mut looked) = (0u64, 0u64);
        loop {
            let chunk = tokio::time::timeout(STALL, chunks.next()).await;
            let Some(chunk) = chunk.map_err(|_| {
                Refusal::new(StatusCode::REQUEST_TIMEOUT, "nothing more came of the film")
            })?
            else {
                break;
            };
            let chunk = chunk.map_err(|error| {
                Refusal::new(StatusCode::BAD_REQUEST, format!("the film broke off: {error}"))
            })?;
            bytes += chunk.len() as u64;
            self.fits(bytes, bytes)?;
            if bytes - looked >= LOOK {
                looked = bytes;
                self.fits(0, 0)?;
            }
            file.write_all(&chunk).await?;
        }
        file.flush().await?;
        Ok(bytes)
    }

    /// Whether a film of `bytes`, of which so many are `written`, is small enough for the settings and the disk.
    fn fits(&self, bytes: u64, written: u64) -> Result<(), Refusal> {
        let gigabytes = |bytes: u64| format!("{:.1} GB", bytes as f64 / 1e9);
        if bytes > self.largest {
            let largest = gigabytes(self.largest);
            let why = format!("films of up to {largest} are taken (--largest-upload)");
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, why));
        }
        if written > 0 {
            return Ok(());
        }
        let free = self.folder.free()?;
        if bytes > free || free == 0 {
            let why = format!("{} are free on the disk for films", gigabytes(free));
            return Err(Refusal::new(StatusCode::INSUFFICIENT_STORAGE, why));
        }
        Ok(())
    }
}
