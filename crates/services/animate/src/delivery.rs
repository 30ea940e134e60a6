//! Where a film goes, and by which address its caller finds it.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parallax_job::Uri;
use parallax_serving::{Call, Credentials, Failure, FailureKind, Storage};

use crate::animate_request::AnimateRequest;
use crate::segment::{READABLE, job_name};

/// Bytes of a film in an answer: platforms refuse answers of more than ten million letters, and four are three bytes.
const INLINE_BYTES: u64 = 6 << 20;

/// Where a film goes.
#[derive(Debug)]
pub(crate) enum Delivery {
    Answer,
    Place(Uri, Option<Credentials>),
    Bucket(Credentials, String),
}

/// Where a film is.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) url: String,
    /// Its key in the caller's bucket.
    pub(crate) r2_key: Option<String>,
}

impl Delivery {
    /// Reads where a film is to go.
    ///
    /// # Errors
    /// Names the field.
    pub(crate) fn of(request: &AnimateRequest, storage: &Storage) -> Result<Self, Failure> {
        match (&request.output_uri, &request.r2) {
            (Some(_), Some(_)) => Err(Failure::field(
                "r2",
                "the film goes to one place: allowed are output_uri or r2",
            )),
            (None, None) => Ok(Self::Answer),
            (Some(place), None) => {
                let own = request.storage.clone();
                Ok(Self::Place(storage.output(place, "output_uri", own.as_ref())?, own))
            }
            (None, Some(bucket)) => {
                let (credentials, name) = (bucket.credentials(), bucket.bucket_name.clone());
                storage.output(&place(&name, &key("x")), "r2", Some(&credentials))?;
                Ok(Self::Bucket(credentials, name))
            }
        }
    }

    /// Its name in answers.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Place(..) => "output_uri",
            Self::Bucket(..) => "r2",
        }
    }

    /// Brings the film at `file` to where it goes.
    ///
    /// # Errors
    /// `TooLarge` for an answer; the forerunner's words where a store does not take it.
    pub(crate) async fn deliver(
        &self,
        file: &Path,
        storage: &Storage,
        call: &Call,
    ) -> Result<Delivered, Failure> {
        match self {
            Self::Answer => {
                let unreadable = |error: std::io::Error| Failure::internal(error.to_string());
                let bytes = tokio::fs::metadata(file).await.map_err(unreadable)?.len();
                if bytes > INLINE_BYTES {
                    let message = format!(
                        "the film has {bytes} bytes, and an answer may have {INLINE_BYTES} of it: name a place \
                         for it with output_uri or r2"
                    );
                    return Err(Failure::new(FailureKind::TooLarge, message));
                }
                let film = tokio::fs::read(file).await.map_err(unreadable)?;
                let url = format!("data:video/mp4;base64,{}", STANDARD.encode(film));
                Ok(Delivered { url, r2_key: None })
            }
            Self::Place(to, own) => {
                let put = storage.put((file, None), to, "output_uri", own.as_ref(), &call.cancel);
                put.await.map_err(not_stored)?;
                Ok(Delivered { url: to.to_string(), r2_key: None })
            }
            Self::Bucket(credentials, bucket) => {
                let own = Some(credentials);
                let key = key(&job_name(&call.id));
                let to = storage.output(&place(bucket, &key), "r2", own)?;
                let put = storage.put((file, None), &to, "r2", own, &call.cancel);
                put.await.map_err(not_stored)?;
                let url = storage.link(&to, "r2", own, READABLE).await.map_err(not_stored)?;
                Ok(Delivered { url, r2_key: Some(key) })
            }
        }
    }
}

fn key(job: &str) -> String {
    format!("animate/results/{job}.mp4")
}

fn place(bucket: &str, key: &str) -> String {
    format!("s3://{bucket}/{key}")
}

/// The forerunner's words for a film that no store took.
fn not_stored(failure: Failure) -> Failure {
    if failure.kind == FailureKind::Cancelled {
        return failure;
    }
    Failure {
        detail: Some(format!("{failure}: {}", failure.detail.clone().unwrap_or_default())),
        message: "Failed to upload result video".to_owned(),
        ..failure
    }
}
