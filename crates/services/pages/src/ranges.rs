//! A file as an answer, or the part of it that a player asks for.

use std::io::{self, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use axum::body::{Body, Bytes};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::stream;
use parallax_web::Refusal;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::names::content_type;

/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;
/// What stands for itself in a name that is sent along (RFC 5987).
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_');

/// The file at `path`, to be shown or to be saved under its name.
pub(crate) async fn file(
    path: &Path,
    headers: &HeaderMap,
    save: bool,
) -> Result<Response, Refusal> {
    let mut file = match File::open(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Refusal::nothing()),
        opened => opened?,
    };
    let metadata = file.metadata().await?;
    let length = metadata.len();
    let etag = format!("\"{:x}-{:x}-{length:x}\"", metadata.ino(), metadata.mtime());
    let same = |name| headers.get(name).is_some_and(|value| value.as_bytes() == etag.as_bytes());
    if same(IF_NONE_MATCH) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response());
    }
    let fresh = !headers.contains_key(IF_RANGE) || same(IF_RANGE);
    let range = headers.get(RANGE).filter(|_| fresh).and_then(|range| range.to_str().ok());
    let part = range.map_or(Part::Whole, |range| Part::of(range, length));
    let (status, first, count) = match part {
        Part::Whole => (StatusCode::OK, 0, length),
        Part::Range(first, last) => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Part::Beyond => {
            let range = [(CONTENT_RANGE, format!("bytes */{length}"))];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, range).into_response());
        }
    };
    file.seek(SeekFrom::Start(first)).await?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let how = if save { "attachment" } else { "inline" };
    let named = utf8_percent_encode(&name, PLAIN);
    let fields = [
        (CONTENT_TYPE, content_type(path).to_owned()),
        (CONTENT_LENGTH, count.to_string()),
        (CONTENT_DISPOSITION, format!("{how}; filename*=UTF-8''{named}")),
        (ACCEPT_RANGES, "bytes".to_owned()),
        (CACHE_CONTROL, "private, no-cache".to_owned()),
        (ETAG, etag),
    ];
    let mut response = (status, fields, Body::from_stream(chunks(file, count))).into_response();
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {first}-{}/{length}", first + count - 1);
        if let Ok(range) = range.parse() {
            response.headers_mut().insert(CONTENT_RANGE, range);
        }
    }
    Ok(response)
}

/// `left` bytes of `file` from where it stands.
fn chunks(file: File, left: u64) -> impl futures::Stream<Item = io::Result<Bytes>> {
    stream::try_unfold((file, left), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let most = left.min(CHUNK as u64);
        let mut chunk = Vec::with_capacity(most as usize);
        let count = (&mut file).take(most).read_to_end(&mut chunk).await? as u64;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some((Bytes::from(chunk), (file, left - count))))
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    /// From the first to the last byte.
    Range(u64, u64),
    Beyond,
}

impl Part {
    /// What a `Range` asks of a file of `length`. Several ranges at once, which no player asks for, and what
    /// makes no sense are answered by the whole file, as RFC 9110 allows.
    fn of(range: &str, length: u64) -> Self {
        let ends = range.strip_prefix("bytes=").and_then(|range| range.trim().split_once('-'));
        let Some((first, last)) = ends else { return Self::Whole };
        match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), _) if first >= length => Self::Beyond,
            (Ok(first), Ok(last)) if last < first => Self::Whole,
            (Ok(first), Ok(last)) => Self::Range(first, last.min(length - 1)),
            (Ok(first), Err(_)) if last.is_empty() => Self::Range(first, length - 1),
            (Err(_), Ok(0)) if first.is_empty() => Self::Beyond,
            (Err(_), Ok(count)) if first.is_empty() && length > 0 => {
                Self::Range(length.saturating_sub(count), length - 1)
            }
            _ => Self::Whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_players_send_them() {
        for (range, part) in [
            ("bytes=0-", Part::Range(0, 99)),
            ("bytes=10-19", Part::Range(10, 19)),
            ("bytes=90-1000", Part::Range(90, 99)),
            ("bytes=-10", Part::Range(90, 99)),
            ("bytes=-1000", Part::Range(0, 99)),
            ("bytes=100-", Part::Beyond),
            ("bytes=-0", Part::Beyond),
            ("bytes=20-10", Part::Whole),
            ("bytes=0-1,5-6", Part::Whole),
            ("bytes=x-y", Part::Whole),
            ("frames=0-1", Part::Whole),
        ] {
            assert_eq!(Part::of(range, 100), part, "{range}");
        }
        assert_eq!(Part::of("bytes=0-", 0), Part::Beyond);
        assert_eq!(Part::of("bytes=-5", 0), Part::Whole);
    }
}
